// SPDX-License-Identifier: Apache-2.0

// Command probe asks the kernel, from inside a container, what the isolation tests want to know: each argument is one question, such as
// openat:3:../etc/passwd, and each answer is a line QUESTION=ANSWER, where the answer is "ok" or the name of the error. Started as
// "probe victim SECRET NAME" it is a process to be attacked; under the name lying-runc it is an OCI runtime that does less than it was
// asked for.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	switch {
	case filepath.Base(os.Args[0]) == "lying-runc":
		fmt.Fprintln(os.Stderr, lie(os.Args))
		os.Exit(1)
	case len(os.Args) == 4 && os.Args[1] == "victim":
		fmt.Fprintln(os.Stderr, beVictim(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	for _, question := range os.Args[1:] {
		var answer string
		var err error
		if question == "self" {
			answer, err = attackOwnChild()
		} else {
			answer, err = ask(strings.Split(question, ":"))
		}
		if err != nil {
			answer = errorName(err)
		}
		fmt.Printf("%s=%s\n", question, answer)
	}
}

func errorName(err error) string {
	var number unix.Errno
	if errors.As(err, &number) {
		return unix.ErrnoName(number)
	}
	return "error " + err.Error()
}

// ask answers one question, given as its words.
func ask(words []string) (string, error) {
	name, args := words[0], words[1:]
	if question, ok := answered[name]; ok && len(args) == question.arguments {
		return question.answer(args)
	}
	if question, ok := attempted[name]; ok && len(args) == question.arguments {
		return "ok", question.try(args)
	}
	return "", fmt.Errorf("no question %q with %d arguments", name, len(args))
}

type answer struct {
	arguments int
	answer    func([]string) (string, error)
}

type attempt struct {
	arguments int
	try       func([]string) error
}

// number reads an argument that the test wrote.
func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}
