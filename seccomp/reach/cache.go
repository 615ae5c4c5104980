// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"bytes"
	"encoding/binary"
	"io"
)

// The cache of glibc's dynamic linker (elf/cache.c, dl-cache.h): a header, entries of 24 bytes in the machine's byte order, and strings, whose
// offsets count from the header. An older table may come before it.
const (
	cachePath   = "/etc/ld.so.cache"
	cacheMagic  = "glibc-ld.so.cache1.1"
	cacheHeader = 48
	cacheEntry  = 24 // flags, name, path, kernel: 32 bits each; hardware: 64 bits
	cacheLimit  = 16 << 20
)

// readCache returns the paths of each library name that the cache has, for whatever architecture. A file that is no such cache has none.
func readCache(data []byte, order binary.ByteOrder) map[string][]string {
	start := bytes.Index(data, []byte(cacheMagic))
	if start < 0 || len(data)-start < cacheHeader {
		return nil
	}
	data = data[start:]
	count := int(order.Uint32(data[len(cacheMagic):]))
	if count < 0 || count > (len(data)-cacheHeader)/cacheEntry {
		return nil
	}
	text := string(data)
	paths := map[string][]string{}
	for i := range count {
		entry := data[cacheHeader+i*cacheEntry:]
		if order.Uint64(entry[16:]) != 0 {
			continue // a variant for some processors
		}
		name, path := tableString(text, uint64(order.Uint32(entry[4:]))), tableString(text, uint64(order.Uint32(entry[8:])))
		if len(name) < nameLimit/4 && len(paths[name]) < 8 {
			paths[name] = append(paths[name], path)
		}
	}
	return paths
}

// cached reads the tree's cache.
func (l *loader) cached(o *object) map[string][]string {
	file, err := l.open(cachePath)
	if err != nil {
		return nil
	}
	if closer, ok := file.(io.Closer); ok {
		defer closer.Close()
	}
	data, err := io.ReadAll(io.NewSectionReader(file, 0, cacheLimit))
	if err != nil {
		return nil
	}
	return readCache(data, o.order)
}
