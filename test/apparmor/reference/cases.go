// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Case is one of the suite's simple tests.
type Case struct {
	Name     string // path under simple_tests
	Text     []byte // without the lines for the driver
	Pass     bool   // EXRESULT
	Todo     bool   // the suite's authors say that the parser does not do it yet
	Disabled bool
}

// Cases returns the cases that are written by hand and those that generators write, sorted by name.
func Cases(t testing.TB) (written, generated []Case) {
	t.Helper()
	root := filepath.Join(Suite(t), "simple_tests")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".sd") {
			return err
		}
		text, err := os.ReadFile(path)
		written = append(written, newCase(strings.TrimPrefix(path, root+"/"), text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(Generated(t))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		generated = append(generated, newCase(strings.TrimPrefix(header.Name, "simple_tests/"), text))
	}
	for _, cases := range [][]Case{written, generated} {
		slices.SortFunc(cases, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	}
	return written, generated
}

// newCase reads a case as the suite's driver, simple.pl, does. A case passes unless it says otherwise.
func newCase(name string, text []byte) Case {
	c := Case{Name: name, Pass: true}
	var kept bytes.Buffer
	for line := range bytes.Lines(text) {
		upper := bytes.ToUpper(line)
		switch {
		case bytes.HasPrefix(upper, []byte("#=DESCRIPTION")):
		case bytes.HasPrefix(line, []byte("#=EXRESULT")):
			c.Pass = string(bytes.TrimSpace(line[len("#=EXRESULT"):])) == "PASS"
		case bytes.HasPrefix(line, []byte("#=TODO")):
			c.Todo = true
		case bytes.HasPrefix(line, []byte("#=DISABLED")):
			c.Disabled = true
		default:
			kept.Write(line)
		}
	}
	c.Text = kept.Bytes()
	return c
}
