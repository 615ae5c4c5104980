abi <abi/3.0>,

# Stands for the profile that Docker loads.
profile docker-default flags=(attach_disconnected) {
  file,
  capability,
  network,
  mount,
  umount,
  signal,
  ptrace,
  unix,
}
