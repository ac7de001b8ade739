import { useEffect, useState } from 'react';
import { api } from '@/services/api';
import { useSocket } from '@/hooks/useSocket';

export function DashboardLayout() {
    const [devices, setDevices] = useState([]);
    const { sensorData } = useSocket();

    useEffect(() => {
        // Fetch initial devices
        api.getDevices().then(setDevices);
    }, []);

    useEffect(() => {
        // Update device data when new sensor data arrives
        if (sensorData) {
            setDevices(prev => prev.map(device => 
                device.device_id === sensorData.device_id
                    ? { ...device, ...sensorData }
                    : device
            ));
        }
    }, [sensorData]);

    return (
        <div>
            {devices.map(device => (
                <MetricCard
                    key={device.device_id}
                    title={device.name}
                    value={device.temperature}
                    unit="°C"
                />
            ))}
        </div>
    );
}
