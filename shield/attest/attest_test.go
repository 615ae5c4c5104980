// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/tpm"
	"github.com/bulkhead-project/bulkhead/test/swtpm"
)

var nonce = [NonceSize]byte{1, 2, 3}

func evidence(t testing.TB) *Evidence {
	t.Helper()
	device, err := tpm.Open(swtpm.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	e, err := TPM{device, []int{7, 11}}.Evidence(nonce, []byte("age1..."))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// passed is evidence as it comes out of a document.
func passed(t testing.TB, e *Evidence) *Evidence {
	t.Helper()
	text, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestLevelIsWhatWasVerifiedAndNoMore(t *testing.T) {
	made := evidence(t)
	right := func() Trust {
		return Trust{Key: made.TPM.Name(), Registers: map[int]tpm.HexDigest{7: {}}}
	}
	for finding, test := range map[string]struct {
		change func(e *Evidence, trust *Trust, nonce *[NonceSize]byte)
		level  key.Level
		want   string
	}{
		"AsMade":              {func(*Evidence, *Trust, *[NonceSize]byte) {}, key.LevelTPM, ""},
		"NoneIsNone":          {func(e *Evidence, _ *Trust, _ *[NonceSize]byte) { *e = Evidence{Format: FormatNone} }, key.LevelNone, ""},
		"CalledNone":          {func(e *Evidence, _ *Trust, _ *[NonceSize]byte) { e.Format = FormatNone }, key.LevelNone, ""},
		"SGXIsNotSimulated":   {func(e *Evidence, _ *Trust, _ *[NonceSize]byte) { e.Format = "sgx" }, key.LevelNone, "there is no verifier"},
		"NoQuote":             {func(e *Evidence, _ *Trust, _ *[NonceSize]byte) { e.TPM = nil }, key.LevelNone, "without its quote"},
		"OldNonce":            {func(_ *Evidence, _ *Trust, n *[NonceSize]byte) { n[0]++ }, key.LevelNone, "answers another challenge"},
		"AboutSomethingElse":  {func(e *Evidence, _ *Trust, _ *[NonceSize]byte) { e.About = []byte("age2...") }, key.LevelNone, "answers another challenge"},
		"UnknownKey":          {func(_ *Evidence, trust *Trust, _ *[NonceSize]byte) { trust.Key = strings.Repeat("0", 64) }, key.LevelNone, "not the one that is trusted"},
		"AnyState":            {func(_ *Evidence, trust *Trust, _ *[NonceSize]byte) { trust.Registers = nil }, key.LevelNone, "any state"},
		"AnotherState":        {func(_ *Evidence, trust *Trust, _ *[NonceSize]byte) { trust.Registers[7] = tpm.HexDigest{1} }, key.LevelNone, "the machine is in another state"},
		"RegisterNotQuoted":   {func(_ *Evidence, trust *Trust, _ *[NonceSize]byte) { trust.Registers[4] = tpm.HexDigest{} }, key.LevelNone, "register 4 is expected"},
		"RegisterWasReplaced": {func(e *Evidence, _ *Trust, _ *[NonceSize]byte) { e.TPM.Registers[11] = tpm.HexDigest{9} }, key.LevelNone, "not those that were signed"},
	} {
		e, trust, asked := passed(t, made), right(), nonce
		test.change(e, &trust, &asked)
		level, err := e.Verify(asked, trust)
		if level != test.level || (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: level %s, %v", finding, level, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	made := evidence(f)
	text, err := made.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":"none"}`))
	trust := Trust{Key: made.TPM.Name(), Registers: map[int]tpm.HexDigest{7: {}}}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := Decode(text)
		if err != nil {
			return
		}
		if level, err := e.Verify(nonce, trust); level != key.LevelNone && (err != nil || string(e.About) != "age1...") {
			t.Fatalf("level %s, %v", level, err)
		}
	})
}
