// Socket.IO on Node: its rooms, its broadcast, and Engine.IO's heartbeats.
"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { Rooms, listen } = require("./rooms.js");

const [port, heartbeat] = process.argv.slice(2).map(Number);
const NEVER = 3600;
const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  perMessageDeflate: false,
  serveClient: false,
  pingInterval: (heartbeat || NEVER) * 1000,
  pingTimeout: NEVER * 1000,
  connectTimeout: 120e3,
});
const rooms = new Rooms();

io.on("connection", (socket) => {
  socket.once("join", ({ room, session }) => {
    socket.join([room, `${room}|${session}`]);
    socket.emit("joined", rooms.join(room, session, socket));
    socket.on("disconnect", () => rooms.leave(room, session, socket));
  });
});

listen(http, port, rooms, (_, message, sender) => {
  const others = io.to(message.room).except(`${message.room}|${sender}`);
  others.emit("terminate", message);
  others.socketsLeave(message.room);
});
