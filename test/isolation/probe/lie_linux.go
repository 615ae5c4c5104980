// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lie takes the layer that LIE names out of the bundle, or of the process to be added, and becomes runc with the same arguments.
func lie(args []string) error {
	for i, word := range args[:len(args)-1] {
		var path string
		switch word {
		case "--bundle":
			path = filepath.Join(args[i+1], "config.json")
		case "--process":
			path = args[i+1]
		default:
			continue
		}
		if err := leaveOut(path, os.Getenv("LIE")); err != nil {
			return err
		}
	}
	return unix.Exec(os.Getenv("LIE_RUNC"), args, os.Environ())
}

func leaveOut(path, layer string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var document map[string]any
	if err := json.Unmarshal(data, &document); err != nil {
		return err
	}
	process, whole := document["process"].(map[string]any)
	if !whole {
		process = document
	}
	switch layer {
	case "seccomp", "landlock": // the program inside is left out
		process["args"] = process["args"].([]any)[3:]
	case "no-new-privileges":
		process["noNewPrivileges"] = false
	}
	if data, err = json.Marshal(document); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
