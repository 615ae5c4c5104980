// SPDX-License-Identifier: Apache-2.0

package vm

import "testing"

func TestNewestKernelOfAVersion(t *testing.T) {
	bookworm := []string{
		"linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64-unsigned", "linux-image-6.1.0-56-cloud-amd64", "linux-image-6.1.0-56-amd64",
		"linux-image-6.1.0-57-amd64-dbg", "linux-image-6.1.0-58-rt-amd64", "linux-image-6.12-cloud-amd64", "linux-image-6.12.99+deb12-cloud-amd64",
		"linux-image-6.12.117+deb12-cloud-amd64", "linux-image-6.12.117+deb12-amd64", "linux-image-cloud-amd64", "linux-image-amd64-signed-template",
	}
	for name, test := range map[string]struct {
		names         []string
		version, want string
	}{
		"by number, signed, for the cloud": {bookworm, "6.1", "linux-image-6.1.0-56-cloud-amd64"},
		"6.1 is not 6.12":                  {bookworm, "6.12", "linux-image-6.12.117+deb12-cloud-amd64"},
		"an exact version":                 {bookworm, "6.12.99+deb12", "linux-image-6.12.99+deb12-cloud-amd64"},
		"none":                             {bookworm, "5.10", ""},
		"only the plain flavour":           {[]string{"linux-image-6.12.57+deb13-amd64"}, "6.12", "linux-image-6.12.57+deb13-amd64"},
		"a newer plain flavour":            {[]string{"linux-image-6.1.0-2-amd64", "linux-image-6.1.0-1-cloud-amd64"}, "6.1", "linux-image-6.1.0-2-amd64"},
		"nothing offered":                  {nil, "6.1", ""},
	} {
		if got := newestKernel(test.names, test.version); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestModuleNames(t *testing.T) {
	for path, want := range map[string]string{
		"kernel/fs/overlayfs/overlay.ko": "overlay", "a/virtio-pci.ko.xz": "virtio_pci", "a/b.ko.gz": "", "a/b": "",
	} {
		got, ok := moduleName(path)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %q, %v", path, got, ok)
		}
	}
}
