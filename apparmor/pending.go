// SPDX-License-Identifier: Apache-2.0

package apparmor

import "github.com/bulkhead-project/bulkhead/apparmor/syntax"

func ruleText(rule syntax.Rule) string { return "" }
