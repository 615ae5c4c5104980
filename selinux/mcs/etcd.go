// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"context"
	"fmt"
)

// The part of etcd's API that is used, in the JSON of its gateway (etcd documentation, "Why gRPC gateway"; rpc.proto of etcd 3.4): bytes are base64,
// 64-bit numbers are strings, and what is zero is left out of answers.

type keyValue struct {
	Key         []byte `json:"key"`
	Value       []byte `json:"value"`
	ModRevision int64  `json:"mod_revision,string"` // of the last change; 0 where there is no key
	Lease       int64  `json:"lease,string"`
}

type responseHeader struct {
	Revision int64 `json:"revision,string"`
}

type rangeRequest struct {
	Key      []byte `json:"key"`
	RangeEnd []byte `json:"range_end,omitempty"`
	Limit    int64  `json:"limit,string,omitempty"`
	Revision int64  `json:"revision,string,omitempty"` // 0: the newest
	KeysOnly bool   `json:"keys_only,omitempty"`
}

type rangeResponse struct {
	Header responseHeader `json:"header"`
	KVs    []keyValue     `json:"kvs"`
	More   bool           `json:"more"`
}

type putRequest struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
	Lease int64  `json:"lease,string,omitempty"`
}

type deleteRequest struct {
	Key []byte `json:"key"`
}

// operation has one field set.
type operation struct {
	Range  *rangeRequest  `json:"request_range,omitempty"`
	Put    *putRequest    `json:"request_put,omitempty"`
	Delete *deleteRequest `json:"request_delete_range,omitempty"`
}

// comparison is that a key was last changed at a revision; 0 that there is no key.
type comparison struct {
	Result      string `json:"result"`
	Target      string `json:"target"`
	Key         []byte `json:"key"`
	ModRevision int64  `json:"mod_revision,string"`
}

func unchanged(key string, revision int64) comparison {
	return comparison{"EQUAL", "MOD", []byte(key), revision}
}

type transactionRequest struct {
	Compare []comparison `json:"compare"`
	Success []operation  `json:"success,omitempty"`
	Failure []operation  `json:"failure,omitempty"`
}

type transactionResponse struct {
	Header    responseHeader `json:"header"`
	Succeeded bool           `json:"succeeded"`
	Responses []struct {
		Range *rangeResponse `json:"response_range"`
	} `json:"responses"`
}

type leaseRequest struct {
	ID  int64 `json:"ID,string,omitempty"`
	TTL int64 `json:"TTL,string,omitempty"` // seconds
}

type leaseResponse struct {
	ID  int64 `json:"ID,string"`
	TTL int64 `json:"TTL,string"` // seconds that are left; 0 or less: there is no such lease
}

// keepAliveResponse is one message of a stream.
type keepAliveResponse struct {
	Result leaseResponse `json:"result"`
}

func readKey(key string) operation { return operation{Range: &rangeRequest{Key: []byte(key)}} }

func putKey(key string, value []byte) operation {
	return operation{Put: &putRequest{Key: []byte(key), Value: value}}
}

func deleteKey(key string) operation {
	return operation{Delete: &deleteRequest{Key: []byte(key)}}
}

// only returns the one key-value of an answer about one key; the zero value where there is none.
func (r rangeResponse) only() keyValue {
	if len(r.KVs) == 0 {
		return keyValue{}
	}
	return r.KVs[0]
}

// get reads one key.
func (c *Cluster) get(ctx context.Context, key string) (keyValue, error) {
	var response rangeResponse
	err := c.Call(ctx, "kv/range", rangeRequest{Key: []byte(key)}, &response)
	return response.only(), err
}

// pageSize is how many keys are read at once; about 1 MB.
const pageSize = 4000

// scan calls visit with every key beneath a prefix, as all were at one moment. keysOnly leaves the values out.
func (c *Cluster) scan(ctx context.Context, prefix string, keysOnly bool, visit func(keyValue) error) error {
	end := []byte(prefix)
	end[len(end)-1]++ // the prefix ends with a slash
	request := rangeRequest{Key: []byte(prefix), RangeEnd: end, Limit: pageSize, KeysOnly: keysOnly}
	for {
		var page rangeResponse
		if err := c.Call(ctx, "kv/range", request, &page); err != nil {
			return err
		}
		for _, kv := range page.KVs {
			if err := visit(kv); err != nil {
				return err
			}
		}
		if !page.More || len(page.KVs) == 0 {
			return nil
		}
		request.Key, request.Revision = append(page.KVs[len(page.KVs)-1].Key, 0), page.Header.Revision
	}
}

// transact carries out one transaction. read are the answers to the reads of whichever half was carried out, in their order.
func (c *Cluster) transact(ctx context.Context, request transactionRequest) (done bool, revision int64, read []keyValue, err error) {
	var response transactionResponse
	if err := c.Call(ctx, "kv/txn", request, &response); err != nil {
		return false, 0, nil, err
	}
	for _, answer := range response.Responses {
		if answer.Range != nil {
			read = append(read, answer.Range.only())
		}
	}
	if !response.Succeeded && len(read) != len(request.Failure) {
		return false, 0, nil, fmt.Errorf("etcd answered %d of %d reads", len(read), len(request.Failure))
	}
	return response.Succeeded, response.Header.Revision, read, nil
}

// getAll reads keys in batches, in their order.
func (c *Cluster) getAll(ctx context.Context, keys []string) ([]keyValue, error) {
	const batch = 100 // operations of one transaction; etcd allows 128 unless told otherwise (--max-txn-ops)
	var found []keyValue
	for len(keys) > 0 {
		some := keys[:min(batch, len(keys))]
		keys = keys[len(some):]
		var reads []operation
		for _, key := range some {
			reads = append(reads, readKey(key))
		}
		done, _, read, err := c.transact(ctx, transactionRequest{Success: reads})
		if err != nil {
			return nil, err
		}
		if !done || len(read) != len(some) {
			return nil, fmt.Errorf("etcd answered %d of %d reads", len(read), len(some))
		}
		found = append(found, read...)
	}
	return found, nil
}
