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
	now := time.Now()
	ended := e.Number == e.Count && e.Done >= e.Total
	switch {
	case ended && p.visible:
		fmt.Fprint(p.out, "\r\x1b[K")
		p.visible = false
	case ended || now.Sub(p.started) < time.Second || now.Sub(p.drawn) < 100*time.Millisecond:
	default:
		p.drawn, p.visible = now, true
		fmt.Fprintf(p.out, "\r%s\x1b[K", bar(e))
	}
}

// bar is one line: the layer, how far it is, and in bytes.
func bar(e image.Event) string {
	const width = 30
	filled := width
	if e.Total > 0 {
		filled = int(min(e.Done, e.Total) * width / e.Total)
	}
	what := "layer"
	if e.Waiting {
		what = "waiting for layer"
	}
	return fmt.Sprintf("%s %d/%d [%s%s] %d/%d MB", what, e.Number, e.Count, strings.Repeat("=", filled), strings.Repeat(" ", width-filled), e.Done>>20, e.Total>>20)
}
