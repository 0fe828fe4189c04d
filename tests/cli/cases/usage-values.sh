# Each value is refused with what was wanted; the last code is that of all of them.
for words in '--alpha=2' '--alpha=-1' '--alpha=nan' '--alpha=0x1' '--alpha=0,05' '--alpha=' '--keep=0' '--confidence=1' \
	'--holdout-share=0' '-j-1' '-j1.5' '-j9999' '--seed=-1' '--seed=99999999999999999999' '--random=0' '--max-memory=4T' \
	'--target-size=0' '--target-size=0%' '--target-size=101%' '--target-size=small' '--storage=full' '--criterion=pi' \
	'--granularity=weights' '--target-macs=0%' '--target-macs=0.5' '--round-to=0' '--progress=yes' \
	'--dry-run=1' '--only' '-z' '-q5' '--distill=-1' '--distill-rate=0' '--rounds=0' '--regrow=1'; do
	tamis slim model.onnx out.onnx -c data.npz "$words"
	code=$?
	[[ $code == 2 ]] || echo "$words: $code"
done
exit "$code"
