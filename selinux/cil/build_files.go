// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// fileEntry is a line of file_contexts with what it is sorted by.
type fileEntry struct {
	*fileContext
	regular bool // no character in it means anything but itself
	stem    int  // bytes before the first one that does
	length  int  // a quoted character counts as one
}

// newFileEntry measures a path as cil_post.c does.
func newFileEntry(f *fileContext) fileEntry {
	entry := fileEntry{fileContext: f, regular: true}
	for i := 0; i < len(f.path); i++ {
		switch f.path[i] {
		case '.', '^', '$', '?', '*', '+', '|', '[', '(', '{':
			entry.regular = false
		case '\\':
			i++ // what follows stands for itself
		}
		if entry.regular {
			entry.stem++
		}
		entry.length++
	}
	return entry
}

// before orders entries from the most general to the most special: the last that matches a path counts.
func (x *fileEntry) compare(y *fileEntry) int {
	if x.regular != y.regular {
		if y.regular {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(x.stem, y.stem), cmp.Compare(x.length, y.length), cmp.Compare(x.kind, y.kind), cmp.Compare(x.path, y.path))
}

// fileFlags are the kinds of files in file_contexts(5).
var fileFlags = [...]string{
	fileAny: "", fileRegular: "\t--", fileDirectory: "\t-d", fileCharacter: "\t-c", fileBlock: "\t-b", fileSocket: "\t-s", filePipe: "\t-p", fileSymlink: "\t-l",
}

// files writes the texts that go with the policy.
func (b *builder) files() {
	b.result.FileContexts, b.result.Seusers, b.result.UserPrefixes = b.fileContexts(), b.seusers(), b.userPrefixes()
}

// fileContexts is the text of file_contexts(5).
func (b *builder) fileContexts() []byte {
	added := make([]said[fileEntry], len(b.model.files))
	contexts := map[*context]policydb.Context{}
	for i := range b.model.files {
		f := &b.model.files[i]
		added[i] = said[fileEntry]{f.at, newFileEntry(f)}
		if f.context != nil {
			contexts[f.context] = b.context(f.context)
		}
	}
	list := objectList(b, "filecon", nil, added, (*fileEntry).compare, func(x, y *fileEntry) bool {
		if x.context == nil || y.context == nil {
			return x.context == y.context
		}
		first, second := contexts[x.context], contexts[y.context]
		return sameContext(&first, &second)
	})
	var text strings.Builder
	for i := range list {
		text.WriteString(list[i].path)
		text.WriteString(fileFlags[list[i].kind])
		text.WriteByte('\t')
		if list[i].context == nil {
			text.WriteString("<<none>>")
		} else {
			b.contextText(&text, list[i].context)
		}
		text.WriteByte('\n')
	}
	return []byte(text.String())
}

// contextText writes a context with one level where both are the same.
func (b *builder) contextText(text *strings.Builder, c *context) {
	text.WriteString(c.user.name + ":" + c.role.name + ":" + c.types.name)
	if !b.policy.MLS {
		return
	}
	text.WriteByte(':')
	b.levelText(text, &c.levels.low)
	if low, high := b.level(&c.levels.low), b.level(&c.levels.high); !low.Equal(&high) {
		text.WriteByte('-')
		b.levelText(text, &c.levels.high)
	}
}

// seusers is the text of seusers(5): the latest first, the default last.
func (b *builder) seusers() []byte {
	var text strings.Builder
	line := func(login string, s *selinuxUser) {
		text.WriteString(login + ":" + s.user.name)
		if b.policy.MLS {
			text.WriteByte(':')
			b.levelText(&text, &s.levels.low)
			text.WriteByte('-')
			b.levelText(&text, &s.levels.high)
		}
		text.WriteByte('\n')
	}
	for i := range slices.Backward(b.model.seusers) {
		if s := &b.model.seusers[i]; s.login != "" {
			line(s.login, s)
		}
	}
	for i := range b.model.seusers {
		if s := &b.model.seusers[i]; s.login == "" {
			line("__default__", s)
		}
	}
	return []byte(text.String())
}

func (b *builder) userPrefixes() []byte {
	var text strings.Builder
	for _, p := range b.model.userPrefixes {
		text.WriteString("user " + p.user.name + " prefix " + p.prefix + ";\n")
	}
	return []byte(text.String())
}
