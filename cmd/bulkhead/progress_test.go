// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/oci/image"
)

func TestBar(t *testing.T) {
	for _, test := range []struct {
		name  string
		event image.Event
		want  string
	}{
		{"Half", image.Event{Number: 1, Count: 2, Done: 50 << 20, Total: 100 << 20}, "layer 1/2 [===============               ] 50/100 MB"},
		{"Waiting", image.Event{Number: 2, Count: 2, Waiting: true, Total: 1 << 20}, "waiting for layer 2/2 [                              ] 0/1 MB"},
		{"MoreThanAnnounced", image.Event{Number: 1, Count: 1, Done: 3, Total: 2}, "layer 1/1 [==============================] 0/0 MB"},
		{"UnknownTotal", image.Event{Number: 1, Count: 1, Done: 3 << 20}, "layer 1/1 [==============================] 3/0 MB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := bar(test.event); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestProgressIsSilentInTheFirstSecondAndCleansUp(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, started: time.Now()}
	p.event(image.Event{Number: 1, Count: 1, Done: 1, Total: 2})
	if out.Len() != 0 {
		t.Errorf("drawn within a second: %q", out.String())
	}
	p.started = p.started.Add(-2 * time.Second)
	p.event(image.Event{Number: 1, Count: 1, Done: 1, Total: 2})
	if !strings.Contains(out.String(), "layer 1/1 [====") {
		t.Errorf("not drawn after two seconds: %q", out.String())
	}
	p.event(image.Event{Number: 1, Count: 1, Done: 1, Total: 2})
	drawn := out.Len()
	p.event(image.Event{Number: 1, Count: 1, Done: 2, Total: 2})
	if !strings.HasSuffix(out.String(), "\r\x1b[K") || out.Len() != drawn+len("\r\x1b[K") {
		t.Errorf("the end: %q", out.String()[drawn:])
	}
	if newProgress(&out) != nil {
		t.Error("a bar for what is no terminal")
	}
}
