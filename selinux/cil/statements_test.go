// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"errors"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// testBase is the least that a policy must have, and what the tables use. It stands in a file of its own, so that the lines of the tables count from 1.
const testBase = `
(sid base_sid) (sidorder (base_sid))
(class base_file (ioctl read write append)) (class base_process (fork signal)) (classorder (base_file base_process))
(sensitivity base_s0) (sensitivityorder (base_s0))
(category base_c0) (category base_c1) (category base_c2) (category base_c3) (categoryorder (base_c0 base_c1 base_c2 base_c3))
(sensitivitycategory base_s0 (all))
(type base_t) (type base_u) (typeattribute base_a) (role base_r) (roletype base_r base_t)
(user base_user) (userrole base_user base_r) (userlevel base_user (base_s0)) (userrange base_user ((base_s0) (base_s0 (all))))
(level base_l (base_s0)) (levelrange base_lr (base_l base_l))
(context base_con (base_user base_r base_t base_lr))
(sidcontext base_sid base_con)
(allow base_t self (base_process (fork)))
`

// resolved is the model of a text behind testBase, and the optionals left out.
func resolved(t *testing.T, text string, options Options) (*model, []Disabled, error) {
	t.Helper()
	words := &syntax.Words{}
	var trees []*syntax.Tree
	for name, text := range map[string]string{"base": testBase, "t": text} {
		tree, err := words.Parse(name, []byte(text))
		if err != nil {
			return nil, nil, err
		}
		if name == "base" {
			trees = append([]*syntax.Tree{tree}, trees...)
		} else {
			trees = append(trees, tree)
		}
	}
	return resolve(trees, words, options)
}

// finding is a text and what it comes to: the lines that show writes.
type finding struct{ name, text, want string }

func (f finding) run(t *testing.T) {
	t.Run(f.name, func(t *testing.T) {
		m, _, err := resolved(t, f.text, Options{Version: 34})
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(strings.TrimSpace(f.want), "\t", "")
		if got := show(m); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
}

// refusal is a text and the error that it comes to.
type refusal struct{ name, text, want string }

func (r refusal) run(t *testing.T) {
	t.Run(r.name, func(t *testing.T) {
		_, _, err := resolved(t, r.text, Options{})
		if err == nil {
			t.Fatalf("it is taken, want %s", r.want)
		}
		var at source.Diagnostic
		if !errors.As(err, &at) {
			t.Errorf("%v is no diagnostic", err)
		}
		if err.Error() != r.want {
			t.Errorf("got  %s\nwant %s", err, r.want)
		}
	})
}
