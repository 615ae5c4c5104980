// SPDX-License-Identifier: Apache-2.0

package filecontexts

import (
	"errors"
	"io/fs"
	"os"
)

// Load reads file_contexts at a path, with what stands beside it as far as it is there: .homedirs, .local, .subs and .subs_dist. Compiled tables (.bin) are not read:
// the texts are what they are made of.
func Load(path string) (*Table, error) {
	var lines []Line
	for _, suffix := range []string{"", ".homedirs", ".local"} {
		text, err := readIfThere(path+suffix, suffix != "")
		if err != nil {
			return nil, err
		}
		more, err := Parse(Source{path + suffix, text})
		if err != nil {
			return nil, err
		}
		lines = append(lines, more...)
	}
	local, err := readIfThere(path+".subs", true)
	if err != nil {
		return nil, err
	}
	distribution, err := readIfThere(path+".subs_dist", true)
	if err != nil {
		return nil, err
	}
	table := NewTable(lines)
	table.Substitute(local, distribution)
	return table, nil
}

func readIfThere(path string, optional bool) ([]byte, error) {
	text, err := os.ReadFile(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// KindOf is the type of a file by its mode.
func KindOf(mode fs.FileMode) Kind {
	switch mode.Type() {
	case 0:
		return Regular
	case fs.ModeDir:
		return Directory
	case fs.ModeSymlink:
		return Link
	case fs.ModeNamedPipe:
		return Pipe
	case fs.ModeSocket:
		return Socket
	case fs.ModeDevice:
		return BlockDevice
	case fs.ModeDevice | fs.ModeCharDevice:
		return CharacterDevice
	}
	return AnyKind
}
