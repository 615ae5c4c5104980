// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/moby/sys/user"
)

// findUser resolves USER[:GROUP] as Docker does: names through the container's own passwd and group files, numbers also without an entry.
// The supplementary groups are those that list the user, unless a group is given. An empty text is root.
func findUser(text string, passwd, group io.Reader) (User, error) {
	if i := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }); i >= 0 {
		return User{}, usage("--user", "write USER, USER:GROUP or their numbers", "%.80q: white space or control character at offset %d", text, i)
	}
	found, err := user.GetExecUser(text, &user.ExecUser{Home: "/"}, passwd, group)
	if err != nil {
		return User{}, usage("--user", "give a user and group of the image, or numbers", "%.80q: %v", text, err)
	}
	resolved := User{Home: found.Home}
	if resolved.Home == "" || strings.ContainsRune(resolved.Home, 0) {
		resolved.Home = "/"
	}
	if resolved.UID, err = identifier(found.Uid); err != nil {
		return User{}, err
	}
	if resolved.GID, err = identifier(found.Gid); err != nil {
		return User{}, err
	}
	for _, number := range found.Sgids {
		id, err := identifier(number)
		if err != nil {
			return User{}, err
		}
		resolved.AdditionalGroups = append(resolved.AdditionalGroups, id)
	}
	return resolved.deduplicated(), nil
}

// identifier refuses what a hostile passwd file may say: negative numbers, and those that mean "no change" to setuid(2).
func identifier(number int) (uint32, error) {
	if number < 0 || number > 1<<31-1 {
		return 0, usage("--user", "", "the container's passwd or group file gives the identifier %d, out of range 0 to %d", number, 1<<31-1)
	}
	return uint32(number), nil
}

// maxGroups is the kernel's NGROUPS_MAX.
const maxGroups = 65536

func (u User) deduplicated() User {
	slices.Sort(u.AdditionalGroups)
	u.AdditionalGroups = slices.Compact(u.AdditionalGroups)
	u.AdditionalGroups = u.AdditionalGroups[:min(len(u.AdditionalGroups), maxGroups)]
	return u
}

// String is the form of -u: numbers.
func (u User) String() string { return fmt.Sprintf("%d:%d", u.UID, u.GID) }
