abi <abi/3.0>,

profile bulkhead-complain flags=(complain, attach_disconnected) {
  file,
  capability,
  network,
  mount,
  umount,
  signal,
  ptrace,
  unix,
  deny /tmp/secret rw,
}
