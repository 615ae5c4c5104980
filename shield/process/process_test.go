// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	sent := Setup{Version: 1, Policy: 2, Volume: [16]byte{1, 2, 3}, Anchor: AnchorTPM, Counter: 0x01800000, Name: "/srv/v", Landlock: 7, Filter: make([]byte, 800)}
	var wire bytes.Buffer
	if err := Send(&wire, sent); err != nil {
		t.Fatal(err)
	}
	var got Setup
	if err := Receive(&wire, &got); err != nil || !reflect.DeepEqual(got, sent) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	if err := Send(&bytes.Buffer{}, Setup{Filter: make([]byte, maximumMessage)}); err == nil {
		t.Error("a message over the bound is sent")
	}
	var got Setup
	if err := Receive(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, '{', '}'}), &got); err == nil || errors.Is(err, ErrEnded) {
		t.Errorf("a length over the bound: %v", err)
	}
	for _, cut := range []string{"", "\x00\x00", "\x00\x00\x00\x05{}"} {
		if err := Receive(bytes.NewReader([]byte(cut)), &got); !errors.Is(err, ErrEnded) {
			t.Errorf("%q: %v", cut, err)
		}
	}
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var setup Setup
		Receive(bytes.NewReader(data), &setup)
	})
}
