for words in 'score m -c d' 'score m -o s' 'merge s' 'merge -o s' 'info --scores s m' 'info m --tensor w' 'info m --html h' \
	'score m -c d -o s --shard 0/2' 'score m -c d -o s --shard 3/2' 'score m -c d -o s --shard 2' 'score m -c d -o s --json s' \
	'score m -c d -o s --html s' 'info --scores s --json h --html h'; do
	tamis $words
	echo $?
done
