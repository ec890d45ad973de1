// create makes a pool in files through libzpool of OpenZFS, which is ZFS as a library:
//
//	create POOL KIND ASHIFT DIRECTORY DATASETS IMAGE...
//
// KIND is disk, mirror, raidz1, raidz2, raidz3, or removed for disks of which the last one
// is removed again. So many of the datasets of the table below get the files, directories and
// symlinks of DIRECTORY. Some blocks are gang blocks. Blocks, their compression, checksums
// and encryption, objects, ZAPs and system attributes are all written by OpenZFS;
// only which of them make a file system is done here, as the kernel's part does it.
//
// Built by libzpool.sh.

#include <sys/zfs_context.h>
#include <sys/spa.h>
#include <sys/spa_impl.h>
#include <sys/vdev_impl.h>
#include <sys/dmu.h>
#include <sys/dmu_objset.h>
#include <sys/dmu_tx.h>
#include <sys/dsl_crypt.h>
#include <sys/dsl_dataset.h>
#include <sys/dsl_prop.h>
#include <sys/sa.h>
#include <sys/zap.h>
#include <sys/zio.h>
#include <zfeature_common.h>
#include <dirent.h>
#include <sys/stat.h>

// What is in sys/zfs_sa.h and sys/zfs_znode.h, which need the kernel's headers.
enum {ZPL_ATIME, ZPL_MTIME, ZPL_CTIME, ZPL_CRTIME, ZPL_GEN, ZPL_MODE, ZPL_SIZE, ZPL_PARENT, ZPL_LINKS,
	ZPL_FLAGS = 11, ZPL_UID, ZPL_GID, ZPL_SYMLINK = 17, ZPL_END = 22};
#define	MASTER_NODE_OBJ		1
#define	ZPL_VERSION_STR		"VERSION"
#define	ZFS_SA_ATTRS		"SA_ATTRS"
#define	ZFS_UNLINKED_SET	"DELETE_QUEUE"
#define	ZFS_ROOT_OBJ		"ROOT"
extern sa_attr_reg_t zfs_attr_table[];
extern unsigned long metaslab_force_ganging;

static struct {
	const char *name;
	uint64_t compression, checksum, recordsize, encryption, keyformat, dnodesize;
} datasets[] = {
	{"lz4", ZIO_COMPRESS_LZ4, ZIO_CHECKSUM_FLETCHER_4},
	{"zstd", ZIO_COMPRESS_ZSTD, ZIO_CHECKSUM_SHA512},
	{"gzip", ZIO_COMPRESS_GZIP_9, ZIO_CHECKSUM_SKEIN},
	{"lzjb", ZIO_COMPRESS_LZJB, ZIO_CHECKSUM_EDONR},
	{"zle", ZIO_COMPRESS_ZLE, ZIO_CHECKSUM_SHA256},
	{"off", ZIO_COMPRESS_OFF, ZIO_CHECKSUM_FLETCHER_2},
	{"large", ZIO_COMPRESS_ZSTD, ZIO_CHECKSUM_FLETCHER_4, 1 << 20},
	{"gcm", ZIO_COMPRESS_LZ4, ZIO_CHECKSUM_FLETCHER_4, 0, ZIO_CRYPT_AES_256_GCM, ZFS_KEYFORMAT_PASSPHRASE},
	{"ccm", ZIO_COMPRESS_LZ4, ZIO_CHECKSUM_SHA256, 0, ZIO_CRYPT_AES_256_CCM, ZFS_KEYFORMAT_RAW},
};

#define	CHECK(call) do { int e_ = (call); if (e_ != 0) { \
	fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, strerror(e_)); exit(1); } } while (0)

// node makes a file, directory or symlink, with its attributes.
static uint64_t
node(objset_t *os, sa_attr_type_t *table, uint64_t parent, const struct stat *st, const char *target, dmu_tx_t *tx)
{
	uint64_t obj;
	if (S_ISDIR(st->st_mode))
		obj = zap_create(os, DMU_OT_DIRECTORY_CONTENTS, DMU_OT_SA, DN_BONUS_SIZE(DNODE_MIN_SIZE), tx);
	else
		obj = dmu_object_alloc(os, DMU_OT_PLAIN_FILE_CONTENTS, 0, DMU_OT_SA, DN_BONUS_SIZE(DNODE_MIN_SIZE), tx);
	sa_handle_t *hdl;
	CHECK(sa_handle_get(os, obj, NULL, SA_HDL_PRIVATE, &hdl));
	uint64_t mode = st->st_mode, size = target ? strlen(target) : S_ISDIR(st->st_mode) ? 2 : st->st_size;
	uint64_t zero = 0, links = 1, gen = dmu_tx_get_txg(tx), flags = 0, times[2] = {1700000000, 5};
	if (parent == 0)
		parent = obj;
	sa_bulk_attr_t bulk[16];
	int n = 0;
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_MODE], NULL, &mode, 8);
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_SIZE], NULL, &size, 8);
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_GEN], NULL, &gen, 8);
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_UID], NULL, &zero, 8);
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_GID], NULL, &zero, 8);
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_PARENT], NULL, &parent, 8);
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_FLAGS], NULL, &flags, 8);
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_ATIME], NULL, times, 16);
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_MTIME], NULL, times, 16);
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_CTIME], NULL, times, 16);
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_CRTIME], NULL, times, 16);
	SA_ADD_BULK_ATTR(bulk, n, table[ZPL_LINKS], NULL, &links, 8);
	CHECK(sa_replace_all_by_template(hdl, bulk, n, tx));
	if (target)
		CHECK(sa_update(hdl, table[ZPL_SYMLINK], (void *)target, strlen(target), tx));
	sa_handle_destroy(hdl);
	return (obj);
}

static void
create_fs(objset_t *os, void *arg, cred_t *cr, dmu_tx_t *tx)
{
	uint64_t version = ZPL_VERSION, sa_obj, obj;
	sa_attr_type_t *table;
	struct stat st = {.st_mode = S_IFDIR | 0755};
	CHECK(zap_create_claim(os, MASTER_NODE_OBJ, DMU_OT_MASTER_NODE, DMU_OT_NONE, 0, tx));
	CHECK(zap_update(os, MASTER_NODE_OBJ, ZPL_VERSION_STR, 8, 1, &version, tx));
	sa_obj = zap_create(os, DMU_OT_SA_MASTER_NODE, DMU_OT_NONE, 0, tx);
	CHECK(zap_add(os, MASTER_NODE_OBJ, ZFS_SA_ATTRS, 8, 1, &sa_obj, tx));
	obj = zap_create(os, DMU_OT_UNLINKED_SET, DMU_OT_NONE, 0, tx);
	CHECK(zap_add(os, MASTER_NODE_OBJ, ZFS_UNLINKED_SET, 8, 1, &obj, tx));
	CHECK(sa_setup(os, sa_obj, zfs_attr_table, ZPL_END, &table));
	obj = node(os, table, 0, &st, NULL, tx);
	CHECK(zap_add(os, MASTER_NODE_OBJ, ZFS_ROOT_OBJ, 8, 1, &obj, tx));
}

// fill copies a directory of the machine.
static void
fill(objset_t *os, sa_attr_type_t *table, uint64_t parent, const char *from, uint64_t recordsize)
{
	DIR *dir = opendir(from);
	struct dirent *e;
	if (dir == NULL) {
		perror(from);
		exit(1);
	}
	while ((e = readdir(dir)) != NULL) {
		char path[4096], target[4096];
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof (path), "%s/%s", from, e->d_name);
		if (lstat(path, &st) != 0)
			exit(1);
		if (S_ISLNK(st.st_mode))
			target[readlink(path, target, sizeof (target) - 1)] = 0;
		dmu_tx_t *tx = dmu_tx_create(os);
		dmu_tx_hold_sa_create(tx, 512 + (S_ISLNK(st.st_mode) ? strlen(target) : 0));
		dmu_tx_hold_zap(tx, parent, B_TRUE, e->d_name);
		if (S_ISDIR(st.st_mode))
			dmu_tx_hold_zap(tx, DMU_NEW_OBJECT, B_FALSE, NULL);
		else
			dmu_tx_hold_bonus(tx, DMU_NEW_OBJECT);
		CHECK(dmu_tx_assign(tx, TXG_WAIT));
		uint64_t obj = node(os, table, parent, &st, S_ISLNK(st.st_mode) ? target : NULL, tx);
		uint64_t value = obj | (uint64_t)(st.st_mode >> 12) << 60;
		CHECK(zap_add(os, parent, e->d_name, 8, 1, &value, tx));
		if (S_ISREG(st.st_mode) && st.st_size > 0) {
			uint64_t size = st.st_size;
			if (size > recordsize)
				size = recordsize;
			CHECK(dmu_object_set_blocksize(os, obj, P2ROUNDUP(size, 512), 0, tx));
		}
		dmu_tx_commit(tx);
		if (S_ISDIR(st.st_mode))
			fill(os, table, obj, path, recordsize);
		if (!S_ISREG(st.st_mode))
			continue;
		static char b[1 << 20];
		FILE *f = fopen(path, "r");
		for (uint64_t at = 0; at < st.st_size; at += recordsize) {
			size_t n = fread(b, 1, recordsize, f), i = 0;
			while (i < n && b[i] == 0)
				i++;
			if (i == n) // a hole
				continue;
			tx = dmu_tx_create(os);
			dmu_tx_hold_write(tx, obj, at, n);
			CHECK(dmu_tx_assign(tx, TXG_WAIT));
			dmu_write(os, obj, at, n, b, tx);
			dmu_tx_commit(tx);
		}
		fclose(f);
	}
	closedir(dir);
}

static dsl_crypto_params_t *
key(uint64_t encryption, uint64_t format)
{
	// The key of a passphrase is made by libzfs; libzpool.sh has what made this one.
	static uint8_t passphrase[32] = WRAPPING_KEY, raw[32] = "0123456789abcdef0123456789ABCDEF";
	nvlist_t *props = fnvlist_alloc(), *args = fnvlist_alloc();
	dsl_crypto_params_t *dcp;
	fnvlist_add_uint64(props, "encryption", encryption);
	fnvlist_add_uint64(props, "keyformat", format);
	fnvlist_add_string(props, "keylocation", "prompt");
	if (format == ZFS_KEYFORMAT_PASSPHRASE) {
		fnvlist_add_uint64(props, "pbkdf2iters", PBKDF2_ITERS);
		fnvlist_add_uint64(props, "pbkdf2salt", PBKDF2_SALT);
	}
	fnvlist_add_uint8_array(args, "wkeydata", format == ZFS_KEYFORMAT_RAW ? raw : passphrase, 32);
	CHECK(dsl_crypto_params_create_nvlist(DCP_CMD_NONE, props, args, &dcp));
	return (dcp);
}

int
main(int argc, char **argv)
{
	if (argc < 7)
		return (2);
	const char *pool = argv[1], *kind = argv[2];
	int count = argc - 6;
	nvlist_t *leaves[64], *top, *root = fnvlist_alloc(), *props = fnvlist_alloc();
	char name[256];

	kernel_init(SPA_MODE_READ | SPA_MODE_WRITE);
	for (int i = 0; i < count; i++) {
		leaves[i] = fnvlist_alloc();
		fnvlist_add_string(leaves[i], ZPOOL_CONFIG_TYPE, VDEV_TYPE_FILE);
		fnvlist_add_string(leaves[i], ZPOOL_CONFIG_PATH, argv[6 + i]);
		fnvlist_add_uint64(leaves[i], ZPOOL_CONFIG_ASHIFT, atoi(argv[3]));
	}
	fnvlist_add_string(root, ZPOOL_CONFIG_TYPE, VDEV_TYPE_ROOT);
	if (strcmp(kind, "disk") == 0 || strcmp(kind, "removed") == 0) {
		for (int i = 0; i < count; i++)
			fnvlist_add_uint64(leaves[i], ZPOOL_CONFIG_IS_LOG, 0);
		CHECK(nvlist_add_nvlist_array(root, ZPOOL_CONFIG_CHILDREN, leaves, count));
	} else {
		top = fnvlist_alloc();
		fnvlist_add_string(top, ZPOOL_CONFIG_TYPE, strncmp(kind, "raidz", 5) == 0 ? VDEV_TYPE_RAIDZ : kind);
		if (strncmp(kind, "raidz", 5) == 0)
			fnvlist_add_uint64(top, ZPOOL_CONFIG_NPARITY, kind[5] - '0');
		fnvlist_add_uint64(top, ZPOOL_CONFIG_ASHIFT, atoi(argv[3]));
		fnvlist_add_uint64(top, ZPOOL_CONFIG_IS_LOG, 0);
		CHECK(nvlist_add_nvlist_array(top, ZPOOL_CONFIG_CHILDREN, leaves, count));
		CHECK(nvlist_add_nvlist_array(root, ZPOOL_CONFIG_CHILDREN, &top, 1));
	}
	for (int i = 0; i < SPA_FEATURES; i++) {
		snprintf(name, sizeof (name), "feature@%s", spa_feature_table[i].fi_uname);
		fnvlist_add_uint64(props, name, 0);
	}
	metaslab_force_ganging = 4096; // a few in a hundred that are larger
	CHECK(spa_create(pool, root, props, NULL, NULL));
	for (int i = 0; i < atoi(argv[5]); i++) {
		objset_t *os;
		uint64_t sa_obj, rootobj, recordsize = datasets[i].recordsize ? datasets[i].recordsize : 128 << 10;
		sa_attr_type_t *table;
		dsl_crypto_params_t *dcp = datasets[i].encryption ? key(datasets[i].encryption, datasets[i].keyformat) : NULL;
		snprintf(name, sizeof (name), "%s/%s", pool, datasets[i].name);
		CHECK(dmu_objset_create(name, DMU_OST_ZFS, 0, dcp, create_fs, NULL));
		CHECK(dsl_prop_set_int(name, "compression", ZPROP_SRC_LOCAL, datasets[i].compression));
		CHECK(dsl_prop_set_int(name, "checksum", ZPROP_SRC_LOCAL, datasets[i].checksum));
		CHECK(dsl_prop_set_int(name, "recordsize", ZPROP_SRC_LOCAL, recordsize));
		CHECK(dsl_prop_set_string(name, "mountpoint", ZPROP_SRC_LOCAL, "/"));
		CHECK(dmu_objset_own(name, DMU_OST_ZFS, B_FALSE, B_TRUE, FTAG, &os));
		CHECK(zap_lookup(os, MASTER_NODE_OBJ, ZFS_SA_ATTRS, 8, 1, &sa_obj));
		CHECK(zap_lookup(os, MASTER_NODE_OBJ, ZFS_ROOT_OBJ, 8, 1, &rootobj));
		CHECK(sa_setup(os, sa_obj, zfs_attr_table, ZPL_END, &table));
		fill(os, table, rootobj, argv[4], recordsize);
		txg_wait_synced(dmu_objset_pool(os), 0);
		dmu_objset_disown(os, B_TRUE, FTAG);
	}
	if (strcmp(kind, "removed") == 0) {
		spa_t *spa;
		CHECK(spa_open(pool, &spa, FTAG));
		vdev_t *last = spa->spa_root_vdev->vdev_child[count - 1];
		CHECK(spa_vdev_remove(spa, last->vdev_guid, B_FALSE));
		for (int i = 0; i < 600 && spa->spa_root_vdev->vdev_child[count - 1]->vdev_ops != &vdev_indirect_ops; i++) {
			txg_wait_synced(spa_get_dsl(spa), 0);
			usleep(100000);
		}
		if (spa->spa_root_vdev->vdev_child[count - 1]->vdev_ops != &vdev_indirect_ops)
			CHECK(EBUSY);
		spa_close(spa, FTAG);
	}
	CHECK(spa_export(pool, NULL, B_FALSE, B_FALSE));
	kernel_fini();
	return (0);
}
