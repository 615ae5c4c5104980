// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxSystemFile bounds the host's hosts and resolv.conf, in bytes.
const maxSystemFile = 1 << 20

// WriteSystemFiles writes hostname, hosts and resolv.conf into directory, an existing one of the container's own, and returns the bind mounts
// that put them below /etc, to append to the config's. With the host's network the last two are copies of the host's. A place that one of
// the options' own mounts takes is left to that.
func WriteSystemFiles(directory string, options Options) ([]specs.Mount, error) {
	hosts, resolver := []byte(hostsText(options.Hostname)), []byte(resolverText())
	if options.Network == ShareHost {
		var err error
		if hosts, err = hostFile("/etc/hosts"); err != nil {
			return nil, err
		}
		if resolver, err = hostFile("/etc/resolv.conf"); err != nil {
			return nil, err
		}
	}
	var mounts []specs.Mount
	for _, file := range []struct {
		name    string
		content []byte
	}{{"hostname", []byte(options.Hostname + "\n")}, {"hosts", hosts}, {"resolv.conf", resolver}} {
		destination := "/etc/" + file.name
		if options.mountsAt(destination) {
			continue
		}
		source := filepath.Join(directory, file.name)
		if err := writeFile(source, file.content); err != nil {
			return nil, err
		}
		mounts = append(mounts, specs.Mount{Destination: destination, Type: "bind", Source: source, Options: []string{"bind", "rprivate", writing(!options.ReadOnly)}})
	}
	return mounts, nil
}

func (o Options) mountsAt(destination string) bool {
	return slices.ContainsFunc(userMounts(o), func(mount specs.Mount) bool { return mount.Destination == destination })
}

// writeFile sets the mode whatever the umask: every user of the container reads these files.
func writeFile(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}

// hostFile reads one of the host's own files; a missing one counts as empty.
func hostFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readBounded(file, maxSystemFile)
}
