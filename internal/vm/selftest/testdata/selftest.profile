abi <abi/3.0>,

profile selftest {
  file,
  deny /tmp/selftest/secret r,
}
