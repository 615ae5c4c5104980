// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/enforce/label"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// predictFlags say for whom and for what else plan is to predict.
type predictFlags struct {
	policy    policyFlag
	processes []string
	files     []string
	readOnly  bool
}

func (f *predictFlags) add(command *cobra.Command) {
	f.policy.add(command)
	flags := command.Flags()
	flags.StringArrayVar(&f.processes, "access", nil, "predict also for a process of this `CONTEXT`; may be given several times")
	flags.StringArrayVar(&f.files, "file", nil, "predict also for `FILE`: in the tree it will have the new label, and what is moved or linked into it keeps its own; may be given several times")
	flags.BoolVar(&f.readOnly, "read-only", false, "predict for a volume that is mounted read-only")
}

// access is who can read and write what once a tree is labelled, as far as SELinux goes.
type access struct {
	Process     string `json:"process"`
	Who         string `json:"who"`
	Object      string `json:"object"` // path; "" for all in the tree
	Label       string `json:"label"`  // afterwards
	Class       string `json:"class"`
	Read        string `json:"read"`  // yes, no or unknown
	Write       string `json:"write"` // likewise; of a directory: files can be added
	WhyNotRead  string `json:"why_not_read,omitempty"`
	WhyNotWrite string `json:"why_not_write,omitempty"`
	Created     string `json:"created,omitempty"` // label that a file gets which the process makes in the directory
}

// asking is a process that asks.
type asking struct {
	context  string
	who      string
	readOnly bool // it has the tree mounted so
}

// object is what is asked for. All but the tree's own directories is reached through these.
type object struct{ path, label, class string }

// predictor answers by a policy, and without one as far as categories alone say.
type predictor struct {
	policy *policydb.Policy // nil: there is none
	tree   string           // label of the tree's directories
}

// predict makes a row of each process and object.
func (f *predictFlags) predict(a *asked, report *label.Report, users []container.VolumeUser) ([]access, error) {
	for _, context := range f.processes {
		if _, err := selinux.ParseContext(context); err != nil {
			return nil, usageError{fmt.Errorf("--access %q: %w", context, err)}
		}
	}
	p := predictor{tree: a.label}
	var err error
	if _, missing := os.Stat(f.policy.path); missing == nil || f.policy.path != runningPolicy {
		if p.policy, err = f.policy.read(); err != nil {
			return nil, err
		}
	}
	objects, err := f.objects(a, report)
	if err != nil {
		return nil, err
	}
	rows := []access{}
	for _, s := range f.subjects(a.level, users) {
		for _, o := range objects {
			row, err := p.row(s, o)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

const containerProcess = "system_u:system_r:container_t:"

// subjects are a container of the level, one of another, those that use the tree now, and those that were asked about.
func (f *predictFlags) subjects(level string, users []container.VolumeUser) []asking {
	list := []asking{{containerProcess + level, "the container of this level", f.readOnly}, {containerProcess + otherLevel(level), "another container", f.readOnly}}
	for _, user := range users {
		context := user.Process
		if context == "" && user.Level != "" {
			context = containerProcess + user.Level
		}
		if context != "" {
			list = append(list, asking{context, user.String(), user.ReadOnly})
		}
	}
	for _, context := range f.processes {
		list = append(list, asking{context, "asked", f.readOnly})
	}
	return list
}

// otherLevel is the level of a pair that has no category of the level.
func otherLevel(level string) string {
	parsed, err := selinux.ParseRange(level)
	var free []uint16
	for category := uint16(0); err == nil && category < selinux.MaxCategories && len(free) < 2; category++ {
		if !parsed.High.Categories.Has(category) {
			free = append(free, category)
		}
	}
	return selinux.Level{Categories: selinux.Categories(free...)}.String()
}

// objects are the tree's directories and files, the mounts beneath that keep their labels, and the files that were asked about.
func (f *predictFlags) objects(a *asked, report *label.Report) ([]object, error) {
	list := []object{{"", a.label, "dir"}, {"", a.label, "file"}}
	if info, err := os.Lstat(a.path); err != nil || !info.IsDir() {
		list = list[1:]
	}
	var paths []string
	if a.mounts == label.SkipMounts {
		for _, mount := range report.Mounts {
			paths = append(paths, filepath.Join(a.path, mount))
		}
	}
	for _, file := range f.files {
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		directory, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		paths = append(paths, filepath.Join(directory, filepath.Base(path)))
	}
	for _, path := range paths {
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		one := object{path, a.label, classOfMode(uint16(stat.Mode))}
		if !a.changes(path, report) {
			var err error
			if one.label, err = label.ReadLink(path); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
		list = append(list, one)
	}
	return list, nil
}

// changes reports whether a file is of what is labelled.
func (a *asked) changes(path string, report *label.Report) bool {
	within := func(tree string) bool {
		return path == tree || strings.HasPrefix(path, strings.TrimSuffix(tree, "/")+"/")
	}
	return within(a.path) && (a.mounts == label.CrossMounts || !slices.ContainsFunc(report.Mounts, func(mount string) bool { return within(filepath.Join(a.path, mount)) }))
}

func (p *predictor) row(s asking, o object) (access, error) {
	row := access{Process: s.context, Who: s.who, Object: o.path, Label: o.label, Class: o.class}
	var err error
	if row.Read, row.WhyNotRead, err = p.answer(s, o, readings(o.class)); err != nil {
		return access{}, err
	}
	if s.readOnly {
		row.Write, row.WhyNotWrite = "no", "the volume is mounted read-only"
		return row, nil
	}
	if row.Write, row.WhyNotWrite, err = p.answer(s, o, writings(o.class)); err != nil || o.class != "dir" || o.label == "" || p.policy == nil {
		return row, err
	}
	return row, p.creation(&row)
}

// readings are the permissions that open(2) for reading and read(2) ask for, and of a directory those to list it; see the kernel's security/selinux/hooks.c.
func readings(class string) []string {
	switch class {
	case "dir":
		return []string{"search", "open", "read", "getattr"}
	case "lnk_file":
		return []string{"read", "getattr"}
	case "sock_file":
		return []string{"getattr"}
	}
	return []string{"open", "read", "getattr"}
}

// writings are those to write to a file, to connect to a socket, or to add a name to a directory. A symbolic link is not written to.
func writings(class string) []string {
	switch class {
	case "dir":
		return []string{"search", "write", "add_name"}
	case "lnk_file", "sock_file":
		return []string{"write"}
	}
	return []string{"open", "write"}
}

// answer asks for the way to an object, and then for the object.
func (p *predictor) answer(s asking, o object, permissions []string) (verdict, why string, err error) {
	if o.label == "" {
		return "unknown", "it has no label", nil
	}
	if p.policy == nil {
		verdict, why = byCategories(s.context, o.label, permissions)
		if way, whyNot := byCategories(s.context, p.tree, []string{"search"}); way == "no" || way == "unknown" && verdict == "yes" {
			return way, whyNot, nil
		}
		return verdict, why, nil
	}
	way := object{"", p.tree, "dir"}
	if why, err := p.denied(s.context, way, []string{"search"}); why != "" || err != nil {
		return "no", why, err
	}
	if why, err = p.denied(s.context, o, permissions); why != "" {
		return "no", why, err
	}
	return "yes", "", err
}

// denied says which permission the policy denies, and why; "" for none.
func (p *predictor) denied(process string, o object, permissions []string) (string, error) {
	source, target, class, err := parties(p.policy, process, o.label, o.class)
	if err != nil {
		return "", err
	}
	for _, name := range permissions {
		bit, err := p.policy.Permission(class, name)
		if err != nil {
			return "", err
		}
		x := p.policy.Explain(source, target, class.Value, bit)
		if x.Allowed || x.Permissive {
			continue
		}
		why := fmt.Sprintf("%s of %s %s: %s", name, o.class, o.label, x.Cause)
		for _, term := range x.Terms {
			if !term.Holds && x.Cause == policydb.ByConstraint {
				return fmt.Sprintf("%s, %s does not hold for %s", why, term.Text, term.Values), nil
			}
		}
		return why, nil
	}
	return "", nil
}

// creation says what label a new file would get, and whether it may be made.
func (p *predictor) creation(row *access) error {
	source, target, _, err := parties(p.policy, row.Process, row.Label, "dir")
	if err != nil {
		return err
	}
	class, err := p.policy.Class("file")
	if err != nil {
		return err
	}
	made, err := p.policy.Compute(policydb.Transition, source, target, class.Value, "")
	if err != nil {
		row.Write, row.WhyNotWrite = "no", fmt.Sprintf("create: %v", err)
		return nil
	}
	row.Created = p.policy.FormatContext(made)
	if row.Write == "yes" {
		if row.WhyNotWrite, err = p.denied(row.Process, object{"", row.Created, "file"}, []string{"create"}); row.WhyNotWrite != "" {
			row.Write = "no"
		}
	}
	return err
}

// byCategories is what the container policies of all distributions have in common: a process must have every category of a file, and may then read and write what is
// container_file_t, and read what is container_ro_file_t. Of other types nothing is known without the policy.
func byCategories(process, file string, permissions []string) (verdict, why string) {
	from, err := selinux.ParseContext(process)
	if err != nil {
		return "unknown", err.Error()
	}
	to, err := selinux.ParseContext(file)
	if err != nil {
		return "unknown", err.Error()
	}
	switch {
	case from.Type != "container_t":
		return "unknown", "no policy says what " + from.Type + " may do"
	case !from.Range.High.Dominates(to.Range.High):
		return "no", fmt.Sprintf("by its categories: %s does not dominate %s", from.Range.High, to.Range.High)
	case to.Type == "container_file_t":
		return "yes", ""
	case to.Type == "container_ro_file_t" && slices.Contains(permissions, "write"):
		return "no", "container_ro_file_t is never written to"
	case to.Type == "container_ro_file_t":
		return "yes", ""
	}
	return "unknown", "no policy says what " + from.Type + " may do to " + to.Type
}

// accessRows is the prediction for people.
func accessRows(rows []access) [][]string {
	var table [][]string
	for _, row := range rows {
		what := cmp.Or(row.Object, map[string]string{"dir": "directories", "file": "files"}[row.Class])
		why := row.WhyNotRead
		if row.WhyNotWrite != why {
			why = strings.TrimPrefix(why+"; write: "+row.WhyNotWrite, "; ")
		}
		if row.Write == "yes" && row.Created != "" && row.Created != row.Label {
			why = "new files become " + row.Created
		}
		table = append(table, []string{row.Who, row.Process, what, row.Read, row.Write, orDash(why)})
	}
	return table
}

// reasonToRefuse says why set would refuse the tree for those who use it now, "" where it would not.
func reasonToRefuse(err error) (string, error) {
	var refused *plan.RefusedError
	if errors.As(err, &refused) {
		return refused.Reason, nil
	}
	return "", err
}
