const API_BASE = 'http://localhost:5000/api';

export const api = {
    async getDevices() {
        const response = await fetch(`${API_BASE}/devices`);
        if (!response.ok) throw new Error('Failed to fetch devices');
        return response.json();
    },

    async addDevice(device: {
        device_id: string;
        name: string;
    }) {
        const response = await fetch(`${API_BASE}/devices`, {
            method: 'POST',
            headers: {
                'Content-Type': 'application/json',
            },
            body: JSON.stringify(device),
        });
        if (!response.ok) throw new Error('Failed to add device');
        return response.json();
    }
};
