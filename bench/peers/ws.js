// The library ws on Node, with bufferutil.
"use strict";

const { createServer } = require("node:http");
const { WebSocketServer } = require("ws");
const { Rooms, listen } = require("./rooms.js");

const [port, heartbeat] = process.argv.slice(2).map(Number);
const http = createServer();
// It would end a member that does not take the answers to its pings, and `stall` fills it with those.
const server = new WebSocketServer({
  server: http, path: "/ws", perMessageDeflate: false, maxPayload: 4096, maxPendingAutoPongs: 0,
});
const rooms = new Rooms();
const everybody = new Set();

server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.once("message", (data) => {
    const { room, session } = JSON.parse(data);
    socket.send(JSON.stringify(rooms.join(room, session, socket)));
    everybody.add(socket);
    socket.on("close", () => {
      everybody.delete(socket);
      rooms.leave(room, session, socket);
    });
  });
});

if (heartbeat) {
  setInterval(() => {
    const text = JSON.stringify({ type: "heartbeat", time: Date.now() });
    for (const client of everybody) {
      client.send(text);
      client.ping();
    }
  }, heartbeat * 1000);
}

// As the library's own documentation broadcasts.
listen(http, port, rooms, (members, message) => {
  const data = JSON.stringify(message);
  for (const member of members) member.send(data);
});
