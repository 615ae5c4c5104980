// SPDX-License-Identifier: Apache-2.0

package bpf

import "math"

// leastDepths finds the binary tree over leaves, in their order, whose sum of weight times depth is the least, and writes how deep each leaf lies. There is at
// least one leaf; weights, one a leaf, are not negative, and are written over.
//
// Two neighbours are joined to a subtree again and again: the first two of which the left one's left neighbour is not lighter than the right one. The subtree
// goes to the left, behind the next one that is not lighter than it. The leaves are then out of order, but there is a tree of the same depths in which they are not.
//
// Source: Garsia and Wachs, A new algorithm for minimum cost binary trees, SIAM J. Comput. 6 (1977); Knuth, TAOCP 6.2.2, algorithm G.
func leastDepths(weights []float64, depths []int32) {
	n := len(weights)
	row := make([]int32, n) // the subtrees that are not joined yet, in order; a leaf has its own number, and those that are made the next ones
	for i := range row {
		row[i] = int32(i)
	}
	joined := make([][2]int32, 0, n) // what each subtree is made of
	weight := func(i int) float64 {
		if i < 0 || i >= len(row) {
			return math.Inf(1)
		}
		return weights[row[i]]
	}
	for at := 0; len(row) > 1; {
		if weight(at-1) > weight(at+1) || at == 0 {
			at++
			continue
		}
		// The subtrees at-1 and at are joined.
		sum := weights[row[at-1]] + weights[row[at]]
		joined = append(joined, [2]int32{row[at-1], row[at]})
		weights = append(weights, sum)
		to := at - 1
		for to > 0 && weight(to-1) < sum {
			to--
		}
		copy(row[to+1:at], row[to:at-1])
		row[to] = int32(len(weights) - 1)
		row = append(row[:at], row[at+1:]...)
		at = max(to-1, 0)
	}
	deep := make([]int32, len(weights))
	for i := len(joined) - 1; i >= 0; i-- {
		for _, part := range joined[i] {
			deep[part] = deep[n+i] + 1
		}
	}
	copy(depths, deep)
}
