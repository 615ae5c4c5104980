// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// lie takes the layer that LIE names out of the bundle, and becomes runc with the same arguments.
func lie(args []string) error {
	if at := slices.Index(args, "--bundle"); at > 0 && at+1 < len(args) {
		if err := leaveOut(filepath.Join(args[at+1], "config.json"), os.Getenv("LIE")); err != nil {
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
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		return err
	}
	process, linux := config["process"].(map[string]any), config["linux"].(map[string]any)
	switch layer {
	case "seccomp":
		delete(linux, "seccomp")
	case "landlock": // the program inside is left out
		process["args"] = process["args"].([]any)[3:]
	case "no-new-privileges":
		process["noNewPrivileges"] = false
	}
	if data, err = json.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
