import { useEffect, useState } from 'react';
import { io, Socket } from 'socket.io-client';

export function useSocket() {
    const [socket, setSocket] = useState<Socket | null>(null);
    const [sensorData, setSensorData] = useState<any>(null);

    useEffect(() => {
        const newSocket = io('http://localhost:5000');
        setSocket(newSocket);

        newSocket.on('sensor_data', (data) => {
            setSensorData(data);
        });

        return () => {
            newSocket.close();
        };
    }, []);

    return { socket, sensorData };
}
