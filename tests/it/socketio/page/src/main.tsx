// The page around the guide's files. Its `MetricCard` is nowhere in the guide: a line of text does.
import { createRoot } from 'react-dom/client';
import { api } from '@/services/api';

Object.assign(globalThis, {
    MetricCard: ({ title, value, unit }) => <p>{`${title}: ${value ?? '–'} ${unit}`}</p>,
});

api.addDevice({ device_id: 'test_device', name: 'Test Sensor' })
    .then((added) => import('@/components/dashboard/DashboardLayout').then(({ DashboardLayout }) => {
        document.title = JSON.stringify(added);
        createRoot(document.getElementById('root')).render(<DashboardLayout />);
    }))
    .catch((error) => { document.body.textContent = String(error); });
