// SPDX-License-Identifier: Apache-2.0

package syntax

// Words numbers words: equal words have equal numbers in all trees that share the table. The zero value is empty and ready; it is not for use from several
// goroutines at a time.
type Words struct {
	number map[string]uint32
	text   []string // by number; 0 is the empty word
}

// ID numbers a word.
func (w *Words) ID(word string) uint32 {
	if number, ok := w.number[word]; ok {
		return number
	}
	return w.add(word)
}

func (w *Words) id(word []byte) uint32 {
	if number, ok := w.number[string(word)]; ok {
		return number
	}
	return w.add(string(word))
}

func (w *Words) add(word string) uint32 {
	if w.number == nil {
		w.number = map[string]uint32{"": 0}
		w.text = []string{""}
		if word == "" {
			return 0
		}
	}
	number := uint32(len(w.text))
	w.number[word] = number
	w.text = append(w.text, word)
	return number
}

// Find is the number of a word that some tree has; ok is false for others.
func (w *Words) Find(word string) (number uint32, ok bool) {
	number, ok = w.number[word]
	return number, ok
}

// Word is the word of a number.
func (w *Words) Word(number uint32) string {
	if w.text == nil && number == 0 {
		return ""
	}
	return w.text[number]
}

// Len counts the numbers given so far.
func (w *Words) Len() int { return len(w.text) }
