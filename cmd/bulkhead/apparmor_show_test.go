// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"os"
	"strings"
	"testing"
)

func TestApparmorShowPrintsWhatCompilesToTheSame(t *testing.T) {
	policies(t)
	apparmorVerb(t, "compile", "--kernel", "6.1", "-o", "web.bin", "web")
	out, warnings, status := apparmorVerb(t, "show", "--kernel", "6.1", "web.bin")
	if status != 0 || !strings.Contains(out, "profile web") || !strings.Contains(out, "/srv/") {
		t.Fatalf("%d %s%s", status, out, warnings)
	}
	if err := os.WriteFile("again", []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, warnings, status := apparmorVerb(t, "diff", "--kernel", "6.1", "web.bin", "again"); status != 0 {
		t.Errorf("%s%s", out, warnings)
	}
	if out, _, status := apparmorVerb(t, "show", "--kernel", "6.12", "--source", "bulkhead-default"); status != 0 || !strings.Contains(out, "profile bulkhead-default") {
		t.Errorf("%d %s", status, out)
	}
	if out, _, status := apparmorVerb(t, "show", "--kernel", "6.1", "--source", "-I", ".", "included"); status != 0 || !strings.Contains(out, "profile i") {
		t.Errorf("%d %s", status, out)
	}
	text, _, _ := apparmorVerb(t, "show", "--kernel", "6.12", "--source", "bulkhead-default")
	if err := os.WriteFile("default", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	apparmorVerb(t, "compile", "--kernel", "6.12", "-o", "default.bin", "default")
	if out, _, status := apparmorVerb(t, "show", "--kernel", "6.12", "default.bin"); status != 0 || out != text {
		t.Errorf("the built-in profile, compiled, is shown otherwise: %d %s", status, out)
	}
}
