// SPDX-License-Identifier: Apache-2.0

package syntax

// Words numbers words: equal words have equal numbers in all trees that share the table. The zero value is empty and ready; it is not for use from several
// goroutines at a time.
type Words struct {
	number map[string]uint32
	text   []string // by number; 0 is the empty word
	spare  []node   // room for the nodes of further trees
}

// room is space for the nodes of a text of so many bytes, of which there are seldom more than one in six. Trees share what is allocated: policies come as
// hundreds of texts.
func (w *Words) room(bytes int) []node {
	const several = 1 << 16
	need := bytes/6 + 2
	if cap(w.spare) < need {
		if len(w.text) > 1 { // this is not the first
			need = max(need, several)
		}
		w.spare = make([]node, 0, need)
	}
	room := w.spare
	w.spare = nil
	return room
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
