# Flattens JSON, so that shell scripts can read it with nothing but awk: one line for each scalar, its path, a tab, its value.
#
#   {"rows": [{"id": "P1", "ratio": 1.5}]}    ->    0.rows.0.id<TAB>P1
#                                                   0.rows.0.ratio<TAB>1.5
#
# The first part of a path counts the documents of the input, so JSON lines can be read too. Strings are unescaped as far as they
# stay on one line: an escaped control character becomes a space. Exit status 1 for what is not JSON.

function fail(what) {
    printf "not JSON: line %d: %s\n", NR, what >"/dev/stderr"
    broken = 1
    exit 1
}

function path(    i, text) {
    text = documents
    for (i = 1; i <= depth; i++) text = text "." (kind[i] == "{" ? key[i] : count[i])
    return text
}

# After a value: the next one is the next element, or the next document.
function done() {
    if (depth == 0) documents++
    else awaits[depth] = 0
}

function value(text) {
    if (depth > 0 && !awaits[depth]) fail("a value that nothing introduces: " text)
    print path() "\t" text
    done()
}

function plain(text) {
    text = substr(text, 2, length(text) - 2)
    if (index(text, "\\") == 0) return text
    gsub(/\\\\/, "\001", text)
    gsub(/\\"/, "\"", text)
    gsub(/\\\//, "/", text)
    gsub(/\\[bfnrt]/, " ", text)
    gsub(/\\u[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F]/, " ", text)
    gsub(/\001/, "\\", text)
    return text
}

BEGIN { documents = 0; depth = 0 }

{
    rest = $0
    while (rest != "") {
        c = substr(rest, 1, 1)
        if (c ~ /[ \t\r]/) {
            sub(/^[ \t\r]+/, "", rest)
        } else if (c == "\"") {
            if (!match(rest, /^"([^"\\]|\\.)*"/)) fail("a string without an end")
            token = plain(substr(rest, 1, RLENGTH))
            rest = substr(rest, RLENGTH + 1)
            if (depth > 0 && kind[depth] == "{" && !awaits[depth]) key[depth] = token
            else value(token)
        } else if (c == "{" || c == "[") {
            if (depth > 0 && !awaits[depth]) fail("a value that nothing introduces")
            depth++
            kind[depth] = c
            count[depth] = 0
            key[depth] = ""
            awaits[depth] = c == "["
            rest = substr(rest, 2)
        } else if (c == "}" || c == "]") {
            if (depth == 0 || kind[depth] != (c == "}" ? "{" : "[")) fail("`" c "` where nothing is open")
            depth--
            done()
            rest = substr(rest, 2)
        } else if (c == ":") {
            if (depth == 0 || kind[depth] != "{") fail("`:` outside an object")
            awaits[depth] = 1
            rest = substr(rest, 2)
        } else if (c == ",") {
            if (depth == 0) fail("`,` outside everything")
            if (kind[depth] == "[") {
                count[depth]++
                awaits[depth] = 1
            }
            rest = substr(rest, 2)
        } else if (match(rest, /^(-?[0-9][-+0-9.eE]*|true|false|null)/)) {
            token = substr(rest, 1, RLENGTH)
            rest = substr(rest, RLENGTH + 1)
            value(token)
        } else {
            fail("`" substr(rest, 1, 20) "`")
        }
    }
}

END {
    if (!broken && depth > 0) {
        print "not JSON: it ends in the middle" >"/dev/stderr"
        exit 1
    }
    exit broken
}
