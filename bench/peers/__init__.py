"""What the hub is compared with. Each is a small program; see `bench.servers` for its job."""
