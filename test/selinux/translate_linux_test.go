// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux"
)

// mcstrans ships configurations with what its daemon makes of them: NAME==RANGE both ways, NAME=RANGE for what people may write.
func TestTranslationsAreMcstransds(t *testing.T) {
	directory := t.TempDir()
	command := exec.Command("sh", "-c", "apt-get download -qq mcstrans 2>/dev/null && dpkg -x mcstrans_*.deb .")
	command.Dir = directory
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("mcstrans: %v: %s", err, out)
	}
	tests, err := filepath.Glob(filepath.Join(directory, "usr/share/doc/mcstrans/examples/*/*.test"))
	if err != nil || len(tests) < 6 {
		t.Fatalf("%d examples, %v", len(tests), err)
	}
	for _, path := range tests {
		example := filepath.Dir(path)
		text, err := os.ReadFile(filepath.Join(example, "setrans.conf"))
		if err != nil {
			t.Fatal(err)
		}
		known, err := selinux.ParseTranslations(selinux.TranslationFile{Name: filepath.Base(example), Text: text}, func(pattern string) ([]selinux.TranslationFile, error) {
			names, err := filepath.Glob(filepath.Join(example, "setrans.d", filepath.Base(pattern))) // they name where they would be installed
			var files []selinux.TranslationFile
			for _, name := range names {
				text, err := os.ReadFile(name)
				if err != nil {
					return nil, err
				}
				files = append(files, selinux.TranslationFile{Name: name, Text: text})
			}
			return files, err
		})
		if err != nil {
			t.Errorf("%s: %v", example, err)
			continue
		}
		expected, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if checked := checkTranslations(t, known, string(expected)); checked < 5 {
			t.Errorf("%s: %d lines", path, checked)
		}
	}
}

func checkTranslations(t *testing.T, known *selinux.Translations, expected string) (checked int) {
	const head = "user_u:user_r:user_t:"
	for line := range strings.Lines(expected) {
		line = strings.TrimSpace(line)
		name, text, ok := strings.Cut(line, "=")
		if !ok || line[0] == '#' || strings.HasSuffix(name, "!") { // != is a range that no policy has
			continue
		}
		both := strings.HasPrefix(text, "=")
		text = strings.TrimPrefix(text, "=")
		if got := known.Raw(head + name); got != head+text {
			t.Errorf("%s is %s, want %s", name, got, text)
		}
		if got := known.Translate(head + text); both && got != head+name {
			t.Errorf("%s is %s, want %s", text, got, name)
		}
		checked++
	}
	return checked
}
