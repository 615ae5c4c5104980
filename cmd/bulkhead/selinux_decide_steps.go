// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"fmt"
	"strings"

	"github.com/bulkhead-project/bulkhead/kernel/dac"
	"github.com/bulkhead-project/bulkhead/selinux/filecontexts"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// demand is what a permission of SELinux asks of the layers before it.
type demand struct {
	access dac.Access // of the object
	owner  bool       // only the owner
	parent string     // the permission that the directory must give, besides write and search
	change bool       // of what is immutable or read-only
}

// demands are by permission; the others ask nothing but the way to the object.
var demands = map[string]demand{
	"read":             {access: dac.Read},
	"write":            {access: dac.Write, change: true},
	"append":           {access: dac.Write, change: true},
	"execute":          {access: dac.Execute},
	"execute_no_trans": {access: dac.Execute},
	"entrypoint":       {access: dac.Execute},
	"search":           {access: dac.Execute},
	"add_name":         {access: dac.Write | dac.Execute, change: true},
	"remove_name":      {access: dac.Write | dac.Execute, change: true},
	"setattr":          {owner: true, change: true},
	"relabelfrom":      {owner: true, change: true},
	"relabelto":        {owner: true, change: true},
	"unlink":           {parent: "remove_name", change: true},
	"rename":           {parent: "remove_name", change: true},
	"rmdir":            {parent: "remove_name", change: true},
}

// reach asks for one permission of the file: the file system, DAC, SELinux, the mount.
func (q *pathQuestion) reach(permission string) error {
	want, file := demands[permission], q.walk.file
	if want.change && file.immutable {
		return q.step(stepAnswer{file.path, permission, "file system", false, "the immutable attribute", nil})
	}
	if want.change && file.readOnlyFilesystem {
		return q.step(stepAnswer{file.path, permission, "file system", false, "it is mounted read-only as a whole", nil})
	}
	if err := q.discretion(permission, want); err != nil {
		return err
	}
	if err := q.mandatory(file, permission); err != nil {
		return err
	}
	switch {
	case want.change && file.readOnlyMount:
		return q.step(stepAnswer{file.path, permission, "mount", false, "read-only", nil})
	case file.class == "file" && want.access == dac.Execute && file.noExec:
		return q.step(stepAnswer{file.path, permission, "mount", false, "noexec", nil})
	}
	return nil
}

// discretion asks what comes before SELinux's answer about the file.
func (q *pathQuestion) discretion(permission string, want demand) error {
	file := q.walk.file
	switch {
	case want.parent != "":
		directory := q.walk.directory
		for _, one := range []string{"write", want.parent} {
			if err := q.both(directory, one, dac.Write|dac.Execute); err != nil {
				return err
			}
		}
		return q.discretionary(file, permission, dac.DecideRemoval(&q.subject, &directory.object, &file.object))
	case want.owner:
		return q.discretionary(file, permission, dac.DecideOwner(&q.subject, &file.object))
	case want.access != 0:
		return q.discretionary(file, permission, dac.Decide(&q.subject, &file.object, want.access))
	}
	return nil
}

// both asks DAC and then SELinux.
func (q *pathQuestion) both(n *node, permission string, access dac.Access) error {
	if err := q.discretionary(n, permission, dac.Decide(&q.subject, &n.object, access)); err != nil {
		return err
	}
	return q.mandatory(n, permission)
}

// step takes a step down. One that denies is the last.
func (q *pathQuestion) step(answer stepAnswer) error {
	key := answer.Layer + " " + answer.Permission + " " + answer.Path
	if q.asked[key] {
		return nil
	}
	q.asked[key] = true
	q.answers.Steps = append(q.answers.Steps, answer)
	if answer.Allowed {
		return nil
	}
	q.answers.Allowed, q.answers.Permissive = false, false
	return errDenied
}

// discretionary takes a verdict of DAC down. Where capabilities override it, SELinux is asked for one after the other, as the kernel does.
func (q *pathQuestion) discretionary(n *node, permission string, verdict dac.Verdict) error {
	answer := stepAnswer{Path: n.path, Permission: permission, Layer: "dac", Allowed: verdict.Allowed, Reason: verdict.By}
	var names []string
	for _, capability := range verdict.Overrides {
		names = append(names, string(capability))
	}
	helps := strings.Join(names, " or ")
	switch {
	case len(names) == 0:
		return q.step(answer)
	case !q.subject.Root:
		answer.Reason += "; capability " + helps + " would override it, and only UID 0 has it"
		return q.step(answer)
	}
	for _, name := range names {
		explained := q.explain(q.source, "capability", name)
		answer.SELinux = explained
		if explained.Allowed || q.permissive() {
			answer.Reason += "; capability " + name + " overrides it"
			return q.step(answer)
		}
	}
	answer.Allowed = false
	answer.Reason += "; capability " + helps + " would override it, and SELinux denies it"
	return q.step(answer)
}

func (q *pathQuestion) permissive() bool { return q.policy.Permissive.Has(q.source.Type) }

// mandatory asks SELinux about an object.
func (q *pathQuestion) mandatory(n *node, permission string) error {
	target, err := q.contextOf(n)
	if err != nil {
		return err
	}
	explained := q.explain(target, n.class, permission)
	answer := stepAnswer{Path: n.path, Permission: permission, Layer: "selinux", Allowed: explained.Allowed, SELinux: explained}
	err = q.step(answer)
	if err != nil && q.permissive() { // it goes on, and the log has it
		q.answers.Permissive = true
		return nil
	}
	return err
}

// explain answers for a permission. What the policy does not know of the kernel's classes and permissions is as it says of those.
func (q *pathQuestion) explain(target *policydb.Context, className, permission string) *permissionAnswer {
	class, err := q.policy.Class(className)
	if err == nil {
		var bit uint32
		if bit, err = q.policy.Permission(class, permission); err == nil {
			x := q.policy.Explain(q.source, target, class.Value, bit)
			answer := answerOf(q.policy, permission, &x)
			return &answer
		}
	}
	return &permissionAnswer{Permission: permission, Allowed: q.policy.Unknown == policydb.AllowUnknown, Cause: string(policydb.ByUnknown)}
}

// contextOf is the label of an object. One that the policy does not take is, to the kernel, that of unlabelled objects.
func (q *pathQuestion) contextOf(n *node) (*policydb.Context, error) {
	const unlabeled = 3 // SECINITSID_UNLABELED
	label, err := q.labelOf(n)
	if err != nil {
		return nil, err
	}
	context, err := q.policy.ParseContext(label)
	if err == nil {
		return context, nil
	}
	for i := range q.policy.Objects.Initial {
		if initial := &q.policy.Objects.Initial[i]; initial.SID == unlabeled && n.label != "" {
			return &initial.Context, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", n.path, err)
}

// fileKinds are the types of files by class.
var fileKinds = map[string]filecontexts.Kind{"dir": filecontexts.Directory, "file": filecontexts.Regular, "lnk_file": filecontexts.Link,
	"chr_file": filecontexts.CharacterDevice, "blk_file": filecontexts.BlockDevice, "fifo_file": filecontexts.Pipe, "sock_file": filecontexts.Socket}

// labelOf is an object's own label, else the nearest of --label, else what --file-contexts says.
func (q *pathQuestion) labelOf(n *node) (string, error) {
	if n.label != "" {
		return n.label, nil
	}
	for _, given := range q.labels {
		if n.path == given.path || strings.HasPrefix(n.path, strings.TrimSuffix(given.path, "/")+"/") {
			return given.context, nil
		}
	}
	if q.contexts != nil {
		line, err := q.contexts.Match(n.path, fileKinds[n.class])
		if err != nil {
			return "", err
		}
		if line != nil && line.Context != "" {
			return line.Context, nil
		}
	}
	return "", hinted{fmt.Errorf("%s has no label", n.path), "say which it has: --label " + n.path + "=CONTEXT, which holds for everything below it, too; or --file-contexts FILE"}
}
