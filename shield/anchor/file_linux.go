// SPDX-License-Identifier: Apache-2.0

package anchor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// Directory is where this user's anchors are: root's in /var/lib/bulkhead/shield, those of others beneath their home, see the XDG Base Directory Specification.
func Directory() (string, error) {
	if MachineRoot() {
		return "/var/lib/bulkhead/shield", nil
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "bulkhead/shield"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local/state/bulkhead/shield"), err
}

// MachineRoot reports whether this process is the machine's root, and not that of a user namespace, who is an ordinary user to the machine.
func MachineRoot() bool {
	const everybody = "0 0 4294967295"
	mapping, err := os.ReadFile("/proc/self/uid_map")
	return os.Geteuid() == 0 && (err != nil || strings.Join(strings.Fields(string(mapping)), " ") == everybody)
}

// OpenFile opens the file of a volume's anchor for this process alone, and makes it and its directory where they are missing. It is named by the volume's ID.
func OpenFile(directory string, volume [16]byte) (*os.File, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(directory, fmt.Sprintf("%x", volume))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &store.Error{Kind: store.Busy, Place: "the anchor's file " + path, What: "another process has the volume, or a copy of it, open", Hint: "end that process first: two copies of a volume cannot both be the newest"}
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	parent, err := os.Open(directory)
	if err == nil {
		err = errors.Join(parent.Sync(), parent.Close())
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
