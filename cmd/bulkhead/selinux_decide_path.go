// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/kernel/dac"
	"github.com/bulkhead-project/bulkhead/selinux/filecontexts"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// pathFlags are --path and what goes with it.
type pathFlags struct {
	path, user   string
	labels       []string
	fileContexts string
}

func (f *pathFlags) add(command *cobra.Command) {
	command.Flags().StringVar(&f.path, "path", "", "the `FILE` that is reached for")
	command.Flags().StringVar(&f.user, "as", "", "the `UID[:GID[,GROUP...]]` of the process; of a UID alone the groups are those of /etc/passwd and /etc/group")
	command.Flags().StringArrayVar(&f.labels, "label", nil, "`PATH=CONTEXT` for what has no label, and all below it that has none; may be given several times")
	command.Flags().StringVar(&f.fileContexts, "file-contexts", "", "`FILE` of file_contexts(5) that says how what has no label, and no --label, would be labelled")
}

func (f *pathFlags) decide(policy *policydb.Policy, args []string) (pathAnswer, error) {
	q := pathQuestion{policy: policy}
	var err error
	if q.source, err = policy.ParseContext(args[0]); err != nil {
		return pathAnswer{}, err
	}
	if q.subject, err = parseSubject(f.user); err != nil {
		return pathAnswer{}, usageError{err}
	}
	if q.labels, err = parseLabels(f.labels); err != nil {
		return pathAnswer{}, usageError{err}
	}
	if f.fileContexts != "" {
		if q.contexts, err = filecontexts.Load(f.fileContexts); err != nil {
			return pathAnswer{}, err
		}
	}
	if q.walk, err = walkTo(f.path); err != nil {
		return pathAnswer{}, err
	}
	class, permissions := q.walk.file.class, args[1:]
	if _, err := policy.Class(args[1]); err == nil && len(args) > 2 {
		class, permissions = args[1], args[2:]
	}
	if class != q.walk.file.class {
		return pathAnswer{}, usageError{fmt.Errorf("%s is a %s, not a %s", f.path, q.walk.file.class, class)}
	}
	return q.answer(permissions)
}

// parseSubject reads UID[:GID[,GROUP...]].
func parseSubject(text string) (dac.Subject, error) {
	uid, groups, given := strings.Cut(text, ":")
	number, err := parseID(uid)
	if err != nil {
		return dac.Subject{}, fmt.Errorf("--as %q: %w", text, err)
	}
	subject := dac.Subject{UID: number, Root: number == 0}
	list := strings.Split(groups, ",")
	if !given {
		known, err := user.LookupId(uid)
		if err != nil {
			return subject, fmt.Errorf("--as %q: %w; say UID:GID", text, err)
		}
		if list, err = known.GroupIds(); err != nil {
			return subject, fmt.Errorf("--as %q: %w; say UID:GID", text, err)
		}
		list = append([]string{known.Gid}, list...)
	}
	for i, word := range list {
		id, err := parseID(word)
		if err != nil {
			return subject, fmt.Errorf("--as %q: %w", text, err)
		}
		if i == 0 {
			subject.GID = id
		} else {
			subject.Groups = append(subject.Groups, id)
		}
	}
	return subject, nil
}

func parseID(text string) (uint32, error) {
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of a user or a group", text)
	}
	return uint32(number), nil
}

// labelling is --label.
type labelling struct{ path, context string }

func parseLabels(list []string) ([]labelling, error) {
	var labels []labelling
	for _, text := range list {
		name, context, ok := strings.Cut(text, "=")
		if !ok || !strings.HasPrefix(name, "/") {
			return nil, fmt.Errorf("--label %q: expected /PATH=CONTEXT", text)
		}
		labels = append(labels, labelling{filepath.Clean(name), context})
	}
	slices.SortStableFunc(labels, func(a, b labelling) int { return len(b.path) - len(a.path) }) // the nearest first
	return labels, nil
}

// pathAnswer is what decide --path prints: the steps up to the first that denies.
type pathAnswer struct {
	Allowed    bool         `json:"allowed"`
	Permissive bool         `json:"permissive,omitempty"`
	Steps      []stepAnswer `json:"steps"`
}

// stepAnswer is one question of the kernel's.
type stepAnswer struct {
	Path       string            `json:"path"`
	Permission string            `json:"permission"` // what the step is about
	Layer      string            `json:"layer"`      // dac, selinux, file system or mount
	Allowed    bool              `json:"allowed"`
	Reason     string            `json:"reason,omitempty"`  // of all but selinux
	SELinux    *permissionAnswer `json:"selinux,omitempty"` // and of the capabilities that override DAC
}

// text is the answer for people. A step that allows is one line.
func (a pathAnswer) text() string {
	var text strings.Builder
	text.WriteString(verdictLine(a.Allowed, a.Permissive))
	for _, step := range a.Steps {
		word := map[bool]string{true: "allow", false: "deny"}[step.Allowed]
		reason := step.Reason
		if step.SELinux != nil && reason == "" {
			reason = step.SELinux.Cause
		}
		fmt.Fprintf(&text, "%s %s of %s: %s: %s\n", word, step.Permission, step.Path, step.Layer, reason)
		if step.SELinux != nil && !step.Allowed {
			step.SELinux.write(&text, "\t")
		}
	}
	return text.String()
}

// pathQuestion is all that a decision about a path needs.
type pathQuestion struct {
	policy   *policydb.Policy
	source   *policydb.Context
	subject  dac.Subject
	labels   []labelling
	contexts *filecontexts.Table // nil for none
	walk     *walk

	answers pathAnswer
	asked   map[string]bool // layer, permission and path
}

var errDenied = errors.New("denied")

// answer asks in the kernel's order: all on the way, then each permission.
func (q *pathQuestion) answer(permissions []string) (pathAnswer, error) {
	q.asked, q.answers.Allowed = map[string]bool{}, true
	err := q.pass()
	for _, permission := range permissions {
		if err == nil {
			err = q.reach(permission)
		}
	}
	if errors.Is(err, errDenied) {
		err = nil
	}
	return q.answers, err
}

// pass goes over the directories and links on the way.
func (q *pathQuestion) pass() error {
	for _, passage := range q.walk.passed {
		var err error
		if passage.directory == nil {
			err = q.both(passage.node, "search", dac.Execute)
		} else {
			if passage.last && protectedSymlinks() {
				verdict := dac.DecideFollow(&q.subject, &passage.directory.object, &passage.node.object)
				err = q.discretionary(passage.node, "follow", verdict)
			}
			if err == nil {
				err = q.mandatory(passage.node, "read")
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func protectedSymlinks() bool {
	text, err := os.ReadFile("/proc/sys/fs/protected_symlinks")
	return err != nil && !errors.Is(err, fs.ErrNotExist) || strings.TrimSpace(string(text)) == "1"
}
