// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// policyCache keeps compiled policy as apparmor_parser does: in a directory for the features of each kernel, beside a file that has them, each file
// named as the profile's, with the time of the newest text that it was made from.
type policyCache struct {
	directories []string // of this kernel, one for each location; the first is written to
	features    string
}

const cacheFeatures = ".features"

// openCache finds the directories: LOCATION/HASH.N, N being the first that holds the same features or is free.
func openCache(locations []string, features string) (policyCache, error) {
	cache := policyCache{features: features}
	for _, location := range locations {
		for number := 0; ; number++ {
			directory := filepath.Join(location, fmt.Sprintf("%08x.%d", featuresHash(features), number))
			text, err := os.ReadFile(filepath.Join(directory, cacheFeatures))
			if err == nil && string(text) != features {
				continue
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
				return cache, err
			}
			cache.directories = append(cache.directories, directory)
			break
		}
	}
	return cache, nil
}

// featuresHash is MurmurHash3 (32 bits) with the seed 5381, by which libapparmor names the directories.
func featuresHash(text string) uint32 {
	const one, two = 0xcc9e2d51, 0x1b873593
	hash := uint32(5381)
	mix := func(block uint32) uint32 { return bits.RotateLeft32(block*one, 15) * two }
	rest := []byte(text)
	for ; len(rest) >= 4; rest = rest[4:] {
		hash = bits.RotateLeft32(hash^mix(binary.LittleEndian.Uint32(rest)), 13)*5 + 0xe6546b64
	}
	if len(rest) > 0 {
		var last [4]byte
		copy(last[:], rest)
		hash ^= mix(binary.LittleEndian.Uint32(last[:]))
	}
	hash ^= uint32(len(text))
	hash = (hash ^ hash>>16) * 0x85ebca6b
	hash = (hash ^ hash>>13) * 0xc2b2ae35
	return hash ^ hash>>16
}

// ours reports whether the directory holds policy for these features.
func (c policyCache) ours(directory string) bool {
	text, err := os.ReadFile(filepath.Join(directory, cacheFeatures))
	return err == nil && string(text) == c.features
}

// find returns the compiled policy of a profile whose newest text is of the time, and where it is. A file that is older is out of date, and so is one
// that is newer: its texts were replaced by older ones.
func (c policyCache) find(name string, newest time.Time) (path string, stream []byte) {
	for _, directory := range c.directories {
		path := filepath.Join(directory, name)
		info, err := os.Stat(path)
		if err != nil || !c.ours(directory) || !info.ModTime().Equal(newest) {
			continue
		}
		if stream, err := os.ReadFile(path); err == nil {
			return path, stream
		}
	}
	return "", nil
}

// keep writes the compiled policy of a profile, in one step. Where the directory has no features yet, or others, what is in it goes first.
func (c policyCache) keep(name string, stream []byte, newest time.Time) (string, error) {
	directory := c.directories[0]
	if !c.ours(directory) {
		if err := empty(directory); err != nil {
			return "", err
		}
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return "", err
		}
		if err := replaceFile(filepath.Join(directory, cacheFeatures), []byte(c.features), 0o644, time.Time{}); err != nil {
			return "", err
		}
	}
	path := filepath.Join(directory, name)
	return path, replaceFile(path, stream, 0o600, newest)
}

// replaceFile puts a file there that is whole from the start.
func replaceFile(path string, content []byte, mode fs.FileMode, modified time.Time) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(mode), file.Close())
	if err == nil && !modified.IsZero() {
		err = os.Chtimes(file.Name(), modified, modified)
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}

// empty removes the files of a directory.
func empty(directory string) error {
	entries, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(directory, entry.Name())))
	}
	return err
}

// purge empties the directories of the first location, whatever features they are for.
func (c policyCache) purge() error {
	location := filepath.Dir(c.directories[0])
	entries, err := os.ReadDir(location)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		hash, number, ok := strings.Cut(entry.Name(), ".")
		if _, bad := strconv.ParseUint(hash, 16, 32); bad != nil || len(hash) != 8 || !ok {
			continue
		}
		if _, bad := strconv.Atoi(number); bad == nil {
			err = errors.Join(err, os.RemoveAll(filepath.Join(location, entry.Name())))
		}
	}
	return err
}
