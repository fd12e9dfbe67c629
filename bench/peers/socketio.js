// Socket.IO on Node: its rooms, its broadcast, and Engine.IO's heartbeats. With the port of a Redis
// it is one of several nodes, which share their broadcasts in a stream.
"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { Rooms, listen } = require("./rooms.js");

const [port, heartbeat, redis] = process.argv.slice(2).map(Number);
const NEVER = 3600;
const http = createServer();
const io = new Server(http, {
  perMessageDeflate: false,
  serveClient: false,
  pingInterval: (heartbeat || NEVER) * 1000,
  pingTimeout: NEVER * 1000,
  connectTimeout: 120e3,
});
const rooms = new Rooms({ apart: Boolean(redis) });

io.on("connection", (socket) => {
  socket.once("join", ({ room, session }) => {
    socket.join([room, `${room}|${session}`]);
    socket.emit("joined", rooms.join(room, session, socket));
    socket.on("disconnect", () => rooms.leave(room, session, socket));
  });
});

async function start() {
  if (redis) {
    const { createAdapter } = require("@socket.io/redis-streams-adapter");
    const { createClient } = require("redis");
    const client = createClient({ url: `redis://127.0.0.1:${redis}` });
    await client.connect();
    io.adapter(createAdapter(client));
  }
  listen(http, port, rooms, (_, message, sender) => {
    const others = io.to(message.room).except(`${message.room}|${sender}`);
    others.emit("terminate", message);
    others.socketsLeave(message.room);
  });
}

start();
