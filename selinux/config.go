// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"fmt"
	"strings"
)

// ConfigFile is where the distribution's tools and init find what SELinux is to do at boot.
const ConfigFile = "/etc/selinux/config"

// Mode is what SELinux does with what the policy does not allow.
type Mode string

// The modes, by their words in the configuration.
const (
	Enforcing  Mode = "enforcing"  // denies it
	Permissive Mode = "permissive" // logs it
	Disabled   Mode = "disabled"   // nothing: no policy is loaded, and nothing gets a label
)

// ParseMode reads one of the three words.
func ParseMode(text string) (Mode, error) {
	switch mode := Mode(text); mode {
	case Enforcing, Permissive, Disabled:
		return mode, nil
	}
	return "", fmt.Errorf("mode %.32q, expected enforcing, permissive or disabled", text)
}

// Config is what ConfigFile says.
type Config struct {
	Mode Mode   // SELINUX=; "" where it is not said, which init takes for permissive
	Type string // SELINUXTYPE=, the directory of the policy beneath /etc/selinux; "" where it is not said, which libselinux takes for targeted
}

const modeKey = "SELINUX="

// ParseConfig reads a configuration as libselinux does (selinux_getenforcemode and init_selinux_config in selinux_config.c): the first line that begins with SELINUX=
// and has one of the three words, in any case, and the last SELINUXTYPE=.
func ParseConfig(text []byte) Config {
	var config Config
	for line := range strings.Lines(string(text)) {
		if config.Mode == "" {
			config.Mode = modeOf(line)
		}
		const key = "SELINUXTYPE="
		if line = strings.TrimSpace(line); len(line) >= len(key) && strings.EqualFold(line[:len(key)], key) {
			config.Type = strings.TrimSpace(line[len(key):])
		}
	}
	return config
}

// modeOf is the mode that a line sets, or "". What follows the word does not count.
func modeOf(line string) Mode {
	value, ok := strings.CutPrefix(line, modeKey)
	if !ok {
		return ""
	}
	value = strings.ToLower(strings.TrimLeft(value, " \t\v\f\r"))
	for _, mode := range []Mode{Enforcing, Permissive, Disabled} {
		if strings.HasPrefix(value, string(mode)) {
			return mode
		}
	}
	return ""
}

// SetMode returns the configuration with another mode. All other lines stay as they are, byte for byte.
func SetMode(text []byte, mode Mode) []byte {
	var changed strings.Builder
	done := false
	for line := range strings.Lines(string(text)) {
		if !done && modeOf(line) != "" {
			ending := line[len(strings.TrimRight(line, "\r\n")):]
			line, done = modeKey+string(mode)+ending, true
		}
		changed.WriteString(line)
	}
	if !done {
		if len(text) > 0 && text[len(text)-1] != '\n' {
			changed.WriteByte('\n')
		}
		changed.WriteString(modeKey + string(mode) + "\n")
	}
	return []byte(changed.String())
}
