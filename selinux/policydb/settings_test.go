// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"slices"
	"testing"
)

// The rules and conditions are in testdata/small.cil. As it begins: may_write and third are off, may_signal is on.
func TestOneBooleanMakesARuleHold(t *testing.T) {
	for name, test := range map[string]struct {
		set            map[string]bool
		source, target string
		want           []Setting
	}{
		"EitherOfTwo":      {nil, app, "data_t", []Setting{{"may_write", true}, {"third", true}}},
		"OneOfThemAlone":   {map[string]bool{"may_signal": false}, app, "data_t", []Setting{{"may_write", true}}},
		"WhichItTakesOff":  {nil, app, "tmp_t", []Setting{{"may_write", true}, {"may_signal", false}}},
		"EqualAlready":     {nil, "system_u:system_r:other_t:s0", "tmp_t", nil},
		"AnyOfTwoForEqual": {map[string]bool{"third": true}, "system_u:system_r:other_t:s0", "tmp_t", []Setting{{"may_write", true}, {"third", false}}},
	} {
		_, p := small(t, 33)
		if err := p.SetBooleans(test.set); err != nil {
			t.Fatal(err)
		}
		source, _ := p.ParseContext(test.source)
		target, err := p.ParseContext(object + test.target + ":s0")
		if err != nil {
			t.Fatal(err)
		}
		file, _ := p.Class("file")
		write, _ := p.Permission(file, "write")
		var got []Setting
		for _, rule := range p.Explain(source, target, file.Value, write).Off {
			got = append(got, p.Settings(rule)...)
		}
		byName := func(a, b Setting) int {
			if a.Boolean < b.Boolean {
				return -1
			}
			return 1
		}
		slices.SortFunc(got, byName)
		slices.SortFunc(test.want, byName)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
