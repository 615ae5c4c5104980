// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// The operations that a mounted volume lives on, without the kernel: what the file system and the store cost by themselves.

func onFile(b *testing.B) must {
	b.Helper()
	image, err := store.CreateFile(filepath.Join(b.TempDir(), "blocks"))
	if err != nil {
		b.Fatal(err)
	}
	return must{formatted(b, image, 0), b}
}

func BenchmarkLookup(b *testing.B) {
	m := onFile(b)
	names := make([]string, 10000)
	for i := range names {
		names[i] = fmt.Sprintf("file-%05d", i)
		m.file(names[i])
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := m.Lookup(RootInode, names[i*7919%len(names)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMissingLookup(b *testing.B) {
	m := onFile(b)
	for i := range 1000 {
		m.file(fmt.Sprint(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Lookup(RootInode, "absent"); err != ErrNotExist {
			b.Fatal(err)
		}
	}
}

// BenchmarkUntar makes files of 6000 bytes with times, and directories, as tar does.
func BenchmarkUntar(b *testing.B) {
	m := onFile(b)
	data := pattern(6000, 1)
	var directory uint64
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%100 == 0 {
			directory = m.directory(fmt.Sprint("d", i))
		}
		inode := m.make(directory, fmt.Sprintf("file-%d", i), ModeRegular|0o600)
		m.ok(m.Opened(inode))
		m.write(inode, 0, data)
		m.change(inode, Changes{Valid: ChangeMode | ChangeAccessed | ChangeModified, Mode: 0o644})
		m.ok(m.Forgotten(inode))
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{100, 4096, 65536, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m := onFile(b)
			inode := m.file("f")
			data := pattern(size, 1)
			m.truncate(inode, 64<<20)
			random := rand.New(rand.NewPCG(1, 1))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Write(inode, int64(random.IntN(64<<20/max(size, 4096)))*int64(max(size, 4096)), data, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{4096, 65536, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m := onFile(b)
			inode := m.file("f")
			for i := range int64(64) {
				m.write(inode, i<<20, pattern(1<<20, byte(i)))
			}
			random := rand.New(rand.NewPCG(1, 1))
			into := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Read(inode, int64(random.IntN(64<<20/size))*int64(size), into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTimes(b *testing.B) {
	m := onFile(b)
	inode := m.file("f")
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		m.change(inode, Changes{Valid: ChangeModified | ChangeChanged, Modified: Time{Seconds: i}, Changed: Time{Seconds: i}})
	}
}
