// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"
)

func TestJobArrivesAsSent(t *testing.T) {
	sent := Job{Command: []string{"sh", "-c", "true"}, Dir: "/x", Timeout: time.Minute, Now: time.Unix(9, 8).UTC(), Seed: []byte{0, 255}}
	var line bytes.Buffer
	if err := WriteValue(&line, KindJob, sent); err != nil {
		t.Fatal(err)
	}
	var got Job
	if err := ReadValue(&line, KindJob, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("got %+v, want %+v", got, sent)
	}
}

func TestUnexpectedKindIsAnError(t *testing.T) {
	var line bytes.Buffer
	if err := Write(&line, KindReady, nil); err != nil {
		t.Fatal(err)
	}
	if err := ReadValue(&line, KindJob, new(Job)); err == nil {
		t.Error("a Ready frame was taken for a Job")
	}
}

func TestBrokenFrameIsAnError(t *testing.T) {
	for name, data := range map[string][]byte{
		"short head":    {'o', 1},
		"short payload": {'o', 5, 0, 0, 0, 'a'},
		"huge payload":  {'o', 255, 255, 255, 255},
	} {
		if _, _, err := Read(bytes.NewReader(data)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := Read(bytes.NewReader(nil)); err != io.EOF {
		t.Errorf("end of the line: %v, want io.EOF", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{'o', 1, 0, 0, 0, 'a'})
	f.Add([]byte{'o', 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, payload, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := Write(&again, kind, payload); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(data, again.Bytes()) {
			t.Errorf("%q became %q", data, again.Bytes())
		}
	})
}
