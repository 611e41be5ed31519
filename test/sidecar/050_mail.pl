# The mails that send makes: headers, texts, and what must not get into them.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Sidecar;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('mail');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
queue_database($node, 'mails');
connect_to($node, 'mails');
python_tests('050_mail.py');
done_testing();
