// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"os"
	"path/filepath"
)

// LoadTranslations reads a setrans.conf and what it includes.
func LoadTranslations(path string) (*Translations, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseTranslations(TranslationFile{path, text}, func(pattern string) ([]TranslationFile, error) {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		var files []TranslationFile
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			files = append(files, TranslationFile{name, text})
		}
		return files, nil
	})
}
