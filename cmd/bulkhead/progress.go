// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/bulkhead-project/bulkhead/enforce/label"
	"github.com/bulkhead-project/bulkhead/oci/image"
)

// progress draws a bar on a terminal for work that takes longer than a second.
type progress struct {
	out     io.Writer
	started time.Time
	drawn   time.Time
	visible bool
}

// newProgress returns nil where nobody would see it.
func newProgress(out io.Writer) *progress {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return &progress{out: out, started: time.Now()}
}

func (p *progress) event(e image.Event) {
	if e.Number == e.Count && e.Done >= e.Total {
		p.wipe()
		return
	}
	p.draw(func() string { return bar(e) })
}

// label shows how far a relabelling is.
func (p *progress) label(l label.Progress) {
	if l.Total > 0 && l.Files >= l.Total {
		p.wipe()
		return
	}
	p.draw(func() string { return labelBar(l) })
}

// blocks shows how much of a volume was read.
func (p *progress) blocks(done, total uint64) {
	if done >= total {
		p.wipe()
		return
	}
	p.draw(func() string {
		return fmt.Sprintf("verifying %s %d/%d MiB", gauge(int64(done), int64(total)), done>>8, total>>8)
	})
}

func (p *progress) draw(line func() string) {
	if now := time.Now(); now.Sub(p.started) >= time.Second && now.Sub(p.drawn) >= 100*time.Millisecond {
		p.drawn, p.visible = now, true
		fmt.Fprintf(p.out, "\r%s\x1b[K", line())
	}
}

func (p *progress) wipe() {
	if p.visible {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.visible = false
	}
}

// bar is one line: the layer, how far it is, and in bytes.
func bar(e image.Event) string {
	what := "layer"
	if e.Waiting {
		what = "waiting for layer"
	}
	return fmt.Sprintf("%s %d/%d %s %d/%d MB", what, e.Number, e.Count, gauge(e.Done, e.Total), e.Done>>20, e.Total>>20)
}

func labelBar(l label.Progress) string {
	if l.Total == 0 {
		return fmt.Sprintf("reading labels: %d files", l.Files)
	}
	return fmt.Sprintf("labelling %s %d/%d files", gauge(int64(l.Files), int64(l.Total)), l.Files, l.Total)
}

func gauge(done, total int64) string {
	const width = 30
	filled := width
	if total > 0 {
		filled = int(min(done, total) * width / total)
	}
	return "[" + strings.Repeat("=", filled) + strings.Repeat(" ", width-filled) + "]"
}
