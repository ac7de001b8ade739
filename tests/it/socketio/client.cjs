// A page's client, outside of a browser: prints all that it hears, a JSON line each.
// node client.cjs PACKAGE URL OPTIONS
const [, , name, url, options] = process.argv;
const io = require(`../../../target/clients/node_modules/${name}`).io ?? require(`../../../target/clients/node_modules/${name}`);
const say = (on, more) => console.log(JSON.stringify({ on, ...more }));

const socket = io(url, JSON.parse(options));
socket.io.on("open", () => {
  const engine = socket.io.engine;
  engine.once("upgrade", (transport) => say("upgrade", { transport: transport.name }));
});
socket.on("connect", () => say("connect", { id: socket.id, transport: socket.io.engine.transport.name }));
socket.on("sensor_data", (...data) => say("sensor_data", { data }));
socket.on("connect_error", (error) => say("connect_error", { message: error.message, context: error.context?.responseText }));
socket.on("disconnect", (reason) => say("disconnect", { reason }));
process.stdin.on("end", () => socket.close()).resume();
