// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// Claim is a private volume of a living container.
type Claim struct {
	Pair   Pair
	Holder Holder
}

// Claims returns the living containers whose private volumes meet one of the paths: the same directory, one above or one below. Those for which
// ours holds are passed over. Paths are absolute with their symbolic links resolved.
//
// Two containers that start at once must each hold their pair, with the volume in its Volumes, before they ask: then at
// least one of them sees the other. A file that cannot be read may hold a claim, so it is an error when no claim is found.
func (r Registry) Claims(ours func(Claim) bool, paths ...string) ([]Claim, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	for _, path := range paths {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("volume %q is not absolute", path)
		}
	}
	entries, err := r.List()
	if err != nil {
		return nil, err
	}
	witness := r.witness()
	var found []Claim
	var failures []error
	for _, entry := range entries {
		failures = append(failures, entry.Err)
		for _, holder := range entry.Holders {
			claim := Claim{entry.Pair, holder}
			if slices.ContainsFunc(paths, holder.Claims) && !ours(claim) && witness.alive(holder) {
				found = append(found, claim)
			}
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	return nil, errors.Join(failures...)
}

// Volume returns the first of the claims to a path by other containers than the one named except, and whether there is one.
func (r Registry) Volume(path, except string) (Pair, Holder, bool, error) {
	claims, err := r.Claims(func(c Claim) bool { return c.Holder.ID == except }, path)
	if err != nil || len(claims) == 0 {
		return Pair{}, Holder{}, false, err
	}
	return claims[0].Pair, claims[0].Holder, true, nil
}

// Unclaim takes the paths, and what lies in them, from the private volumes of every container but the one named except: they were labelled for that one.
func (r Registry) Unclaim(except string, paths ...string) error {
	claims, err := r.Claims(func(c Claim) bool { return c.Holder.ID == except }, paths...)
	if err != nil || len(claims) == 0 {
		return err
	}
	dir, err := r.open()
	if err != nil || dir == nil {
		return err
	}
	defer dir.close()
	taken := func(volume string) bool {
		return slices.ContainsFunc(paths, func(path string) bool { return inside(volume, path) })
	}
	for _, claim := range claims {
		err = errors.Join(err, dir.change(claim.Pair, func(holders []Holder) ([]Holder, error) {
			i := indexOf(holders, claim.Holder.ID)
			if i < 0 {
				return holders, nil
			}
			left := holders[i]
			left.Volumes = slices.DeleteFunc(slices.Clone(left.Volumes), taken)
			return replaced(holders, i, left), nil
		}))
	}
	return err
}
