// Prints the frames of a task's WebSocket: ws.mjs ws://HOST/ws/progress/TASK
import WebSocket from "ws";

const socket = new WebSocket(process.argv[2], "progress.v1.json");
socket.on("message", (data) => console.log(JSON.stringify(JSON.parse(data))));
socket.on("close", (code) => console.log(JSON.stringify({ closed: code, subprotocol: socket.protocol })));
