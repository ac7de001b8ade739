// What clients write, with the types that are generated from the description. It is compiled, never run.

import createClient from "openapi-fetch";
import type { components, paths } from "./twinhub";

type Schemas = components["schemas"];

const hub = createClient<paths>({ baseUrl: "http://127.0.0.1:8080" });
const pump = { params: { path: { id: "pump-1" } } };

// The desired state is any object, and a device may report anything.
export async function switchOn(): Promise<number> {
    const { data, error, response } = await hub.PATCH("/api/devices/{id}/twin", {
        ...pump,
        body: { desired: { power: "on", motor: { rpm: 1450 } } },
    });
    if (error) {
        throw new Error(`${response.status} ${describe(error)}`);
    }
    const desired: Record<string, unknown> = data.desired;
    console.log(desired["power"], data.reported["flow"], data.last_seen ?? "never heard");
    return data.version;
}

// Each error is a problem document, whatever was asked.
function describe(problem: Schemas["Problem"]): string {
    const places = (problem.errors ?? []).map((one) => `${one.pointer}: ${one.message}`);
    return [problem.code, problem.detail, problem.field ?? "", ...places].join("\n");
}

// A reading is a number, a text or a boolean.
export async function flow(): Promise<string[]> {
    const { data } = await hub.GET("/api/devices/{id}/data", {
        params: { path: { id: "pump-1" }, query: { sensor_type: "flow" } },
    });
    return (data ?? []).map((item) => {
        const value: number | string | boolean = item.value;
        return typeof value === "number" ? value.toFixed(1) : String(value);
    });
}

// Words are enums: this says something of each status, and does not compile when one is missing.
export function colorOf(status: Schemas["CommandStatus"]): string {
    const colors: Record<Schemas["CommandStatus"], string> = {
        pending: "grey",
        sent: "grey",
        delivered: "blue",
        executed: "green",
        failed: "red",
        rejected: "red",
        expired: "orange",
        timed_out: "orange",
        canceled: "grey",
        superseded: "grey",
    };
    return colors[status];
}

export async function ask(): Promise<string> {
    const { data, error } = await hub.POST("/api/devices/{id}/commands", {
        ...pump,
        body: { command_type: "set_speed", parameters: { rpm: 1450 }, priority: 7 },
    });
    if (error) {
        return error.command_id ?? describe(error);
    }
    return `${colorOf(data.status)} ${data.cause.source} ${data.expires_at}`;
}

export async function register(): Promise<string | undefined> {
    const { data } = await hub.POST("/api/devices", {
        body: { name: "Pump", device_id: "pump-1", tags: { floor: "2" }, configuration: { interval: 30 } },
    });
    return data?.auth_token;
}

// Lists, counts by word, and what may be missing.
export async function overview(): Promise<void> {
    const { data: devices } = await hub.GET("/api/devices", { params: { query: { status: "online" } } });
    for (const device of devices ?? []) {
        const latest = device.readings["flow"];
        console.log(device.id, device.lifecycle, device.mode_until ?? "", latest?.value, latest?.unit);
    }
    const { data: jobs } = await hub.GET("/api/jobs");
    for (const job of jobs ?? []) {
        console.log(job.kind, job.counts["done"] ?? 0, job.reason?.length);
    }
    const { data: runs } = await hub.GET("/api/automation/journal");
    for (const run of runs ?? []) {
        const why: Schemas["WhyNot"] | undefined = run.why;
        console.log(run.outcome, why, run.trigger.cause?.source, run.actions[0]?.data);
    }
}
