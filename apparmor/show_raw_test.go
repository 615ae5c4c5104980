// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"bytes"
	"compress/zlib"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestLoadedPolicyIsReadCompressedOrNot(t *testing.T) {
	stream, err := os.ReadFile("testdata/decide/docker-default.bin")
	if err != nil {
		t.Fatal(err)
	}
	var withZlib bytes.Buffer
	zlibWriter := zlib.NewWriter(&withZlib)
	zlibWriter.Write(stream)
	zlibWriter.Close()
	zstdWriter, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"Plain": stream, "Zlib": withZlib.Bytes(), "Zstd": zstdWriter.EncodeAll(stream, nil)} {
		policy, err := DecodeLoaded(data)
		if err != nil || len(policy.Profiles) != 1 || policy.Profiles[0].Name != "docker-default" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := DecodeLoaded(data[:len(data)/2]); err == nil {
			t.Errorf("%s: half of it is read", name)
		}
	}
}

func FuzzParseQuestion(f *testing.F) {
	for _, seed := range []string{"owner file /a rw", "mount options=(ro bind) a -> b", "unix connect peer=(addr=@a label=b)", `dbus send bus="x y"`, "signal send rtmin+1 peer=:n:a//&b"} {
		f.Add(seed)
	}
	policy := reference(f, "questions")
	f.Fuzz(func(t *testing.T, text string) {
		question, err := ParseQuestion(strings.Fields(text))
		if err != nil {
			return
		}
		if verdict := Decide(policy.Profiles[0], Features{}, question, nil); len(verdict.Because) == 0 {
			t.Errorf("%s: no reason", question)
		}
	})
}
