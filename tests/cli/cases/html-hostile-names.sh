# Whatever names a model has, its page is well-formed, has no script and refers to nothing.
sed 's/fc1.weight/<script>ab/g' "$MODELS/tiny.onnx" > m.onnx
tamis slim m.onnx o.onnx -c "$MODELS/tiny.npz" --tolerance 0.05 --html slim.html -q &&
	tamis score m.onnx -c "$MODELS/tiny.npz" -o s --html score.html -q && "$PYTHON" - slim.html score.html <<'END'
import re, sys, xml.etree.ElementTree as tree
for path in sys.argv[1:]:
    page = open(path).read()
    body = re.sub(r"<!doctype html>|<meta [^>]*>", "", page)
    names = {e.tag for e in tree.fromstring(body).iter()}
    print(sorted(names), page.count("&lt;script&gt;ab") > 0, re.findall(r"href|src=|url\(|http:|https:|onload", page))
END
