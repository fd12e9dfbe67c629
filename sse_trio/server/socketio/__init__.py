"""Socket.IO clients on the hub: Engine.IO 3 and 4, and Socket.IO 4 and 5 above it."""
